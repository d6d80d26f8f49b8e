"""A small ConvNet: pictures in, one vector a product out.

Pixels enter as UINT8 exactly as the decoder leaves them; casting and normalising
happen in here, so training, export and serving cannot disagree about them.
"""

from __future__ import annotations

from torch import Tensor, nn

from towers.encoders.text_encoder import masked_mean

_MEAN, _DEVIATION = 127.5, 64.0


class ConvNet(nn.Module):
    """Strided convolutions, then the mean over places and over a product's pictures.

    The mean over pictures is order-invariant, and an absent picture has no part in it.

    Args:
        channels: width of each stage; every stage halves the picture's side.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for inputs, outputs in zip((3, *channels), channels, strict=False):
            stages += [
                nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        last = channels[-1]
        stages += [
            nn.Conv2d(last, last, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(last),
            nn.ReLU(),
        ]
        self.stages = nn.Sequential(*stages)
        self.width = last

    def forward(self, pixels: Tensor, has_image: Tensor) -> Tensor:
        """Maps uint8[B,V,H,W,3] and bool[B,V] to float[B,width]."""
        batch, views = pixels.shape[0], pixels.shape[1]
        # TensorRT takes UINT8 only where a cast is the input's first use.
        flat = pixels.float().flatten(0, 1).permute(0, 3, 1, 2)
        maps = self.stages((flat - _MEAN) / _DEVIATION)
        a_view = maps.mean(dim=(2, 3)).view(batch, views, self.width)
        return masked_mean(a_view, has_image.to(a_view.dtype))
