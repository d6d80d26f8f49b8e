"""What turns texts and pictures into vectors: text encoders, picture encoders, pretrained weights."""
