"""The picture encoder that a recipe names: from scratch, from a folder, or empty, to be filled.

To add one, subclass ``PictureEncoder`` and name it here.
"""

from __future__ import annotations

from pathlib import Path

from towers.encoders.convnet import ConvNet
from towers.encoders.picture_encoder import PictureEncoder
from towers.encoders.picture_sets import DeepSets
from towers.encoders.pretrained_vision import load_vision_transformer
from towers.encoders.vision_transformer import VisionTransformer, VisionTransformerConfig
from towers.recipe import ImageRecipe


def build_picture_encoder(image: ImageRecipe, sizes: VisionTransformerConfig | None = None) -> PictureEncoder:
    """Builds the encoder that ``image`` names.

    Args:
        image: ``encoder`` is convnet, vit, or the folder of a ViT or CLIP checkpoint.
        sizes: of a folder's encoder, as ``sizes_of_pictures`` gave them when it was loaded: the encoder
            is then built empty, for a checkpoint's weights, and the folder may be gone.

    Raises:
        InvalidInput: the sizes do not go into each other, or the folder holds no such checkpoint.
    """
    encoder = _encoder(image, sizes)
    if image.pooling == "deep_sets":
        encoder.pool = DeepSets(encoder.width)
    return encoder


def sizes_of_pictures(encoder: PictureEncoder) -> VisionTransformerConfig | None:
    """Returns what a checkpoint must keep to build the encoder again; None where the recipe says it all."""
    return encoder.config if isinstance(encoder, VisionTransformer) else None


def _encoder(image: ImageRecipe, sizes: VisionTransformerConfig | None) -> ConvNet | VisionTransformer:
    if image.encoder == "convnet":
        return ConvNet(image.channels, colours=image.colours)
    if sizes is not None:
        return VisionTransformer(sizes)
    if image.encoder == "vit":
        return VisionTransformer(
            VisionTransformerConfig(
                size=image.size,
                patch=image.patch,
                width=image.width,
                layers=image.layers,
                heads=image.heads,
                feedforward=4 * image.width,
            )
        )
    return load_vision_transformer(Path(image.encoder), image.size)
