"""A vision transformer: square patches of a picture as the tokens of a pre-norm transformer.

ViT as Dosovitskiy et al. published it (ICLR 2021), small and from scratch; with the parts that
published checkpoints add (a class token, CLIP's first norm and its quick GELU) switched on by the
configuration. ``pretrained_vision`` fills it from such a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faults import InvalidInput
from towers.encoders.encoded import Encoded
from towers.encoders.picture_encoder import MeanOfViews, PictureEncoder

Activation = Literal["gelu", "quick_gelu"]


@dataclass(frozen=True)
class VisionTransformerConfig:
    """Sizes of a vision transformer, and what it does to pixels first.

    Args:
        size: side of the pictures, in pixels; a multiple of ``patch``.
        patch: side of a patch, in pixels.
        width: of the tokens; a multiple of ``heads``.
        layers: transformer layers.
        heads: of the attention.
        feedforward: width between the two linear maps of a layer.
        norm_epsilon: of every LayerNorm.
        activation: of the feed-forward networks; quick_gelu is x * sigmoid(1.702 x).
        class_token: whether a token of its own stands for the picture; otherwise the mean of its places.
        patch_bias: whether the map from patches to tokens has a bias.
        query_bias: whether the maps to queries, keys and values have one.
        first_norm: whether the tokens are normalised before the first layer (CLIP).
        mean: of a pixel's red, green and blue, in units of 0 to 255.
        deviation: the same three's; pixels enter as (pixel - mean) / deviation.
    """

    size: int
    patch: int
    width: int
    layers: int
    heads: int
    feedforward: int
    norm_epsilon: float = 1e-6
    activation: Activation = "gelu"
    class_token: bool = False
    patch_bias: bool = True
    query_bias: bool = True
    first_norm: bool = False
    mean: Sequence[float] = (127.5, 127.5, 127.5)
    deviation: Sequence[float] = (64.0, 64.0, 64.0)

    def __post_init__(self) -> None:
        """Refuses sizes that do not go into each other.

        Raises:
            InvalidInput: ``size`` is no multiple of ``patch``, or ``width`` none of ``heads``.
        """
        for whole, part in (("size", "patch"), ("width", "heads")):
            if getattr(self, whole) % getattr(self, part):
                raise InvalidInput(
                    f"is no multiple of image.{part} ({getattr(self, part)})",
                    field=f"recipe.image.{whole}",
                    value=getattr(self, whole),
                    fix=f"Choose a {whole} that image.{part} divides.",
                )

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.size // self.patch


class VisionBlock(nn.Module):
    """One pre-norm layer: attention over all places of a picture, then a feed-forward network."""

    def __init__(self, config: VisionTransformerConfig) -> None:
        super().__init__()
        width, self.heads, self.activation = config.width, config.heads, config.activation
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.query = nn.Linear(width, width, bias=config.query_bias)
        self.key = nn.Linear(width, width, bias=config.query_bias)
        self.value = nn.Linear(width, width, bias=config.query_bias)
        self.output = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.expand = nn.Linear(width, config.feedforward)
        self.contract = nn.Linear(config.feedforward, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps float[N,L,width] to the same shape."""
        normed = self.attention_norm(hidden)
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(normed)), self._split(self.key(normed)), self._split(self.value(normed))
        )
        hidden = hidden + self.output(mixed.transpose(1, 2).flatten(2))
        wide = self.expand(self.feedforward_norm(hidden))
        wide = F.gelu(wide) if self.activation == "gelu" else wide * torch.sigmoid(1.702 * wide)
        result: Tensor = hidden + self.contract(wide)
        return result

    def _split(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        return hidden.view(batch, length, self.heads, width // self.heads).transpose(1, 2)


class VisionTransformer(PictureEncoder):
    """Patches to tokens, through the layers; then one vector of a product's pictures.

    Every picture is encoded by itself, so an absent one moves nothing, nor does the order.

    Args:
        config: the sizes.
        pool: float[B,V,width] and float[B,V] to float[B,width]; by default the mean.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: VisionTransformerConfig, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        for name in ("mean", "deviation"):
            value = torch.tensor(list(getattr(config, name)), dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)  # the configuration keeps it
        self.patches = nn.Conv2d(3, config.width, config.patch, stride=config.patch, bias=config.patch_bias)
        # The class token, where there is one, has the first place.
        self.class_token = nn.Parameter(torch.zeros(config.width)) if config.class_token else None
        self.places = nn.Parameter(torch.zeros(config.grid**2 + int(config.class_token), config.width))
        self.first_norm = (
            nn.LayerNorm(config.width, eps=config.norm_epsilon) if config.first_norm else nn.Identity()
        )
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.layers))
        self.last_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.pool = MeanOfViews() if pool is None else pool
        for table in (self.places, self.class_token):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)

    def encode(self, pixels: Tensor, has_image: Tensor) -> Encoded:
        """See ``PictureEncoder.encode``; the tokens are the patches' alone, row by row."""
        batch, views = has_image.shape
        # TensorRT takes UINT8 only where a cast is the input's first use.
        flat = pixels.float().flatten(0, 1).permute(0, 3, 1, 2)
        hidden = self._run((flat - self.mean) / self.deviation)
        there = has_image.to(hidden.dtype)
        places = hidden if self.class_token is None else hidden[:, 1:]
        a_view = hidden.mean(dim=1) if self.class_token is None else hidden[:, 0]
        return Encoded(
            places.reshape(batch, -1, self.width),
            there.repeat_interleave(self.config.grid**2, dim=1),
            self.pool(a_view.view(batch, views, self.width), there),
        )

    def _run(self, flat: Tensor) -> Tensor:
        """Maps normalised float[N,3,size,size] to float[N,places,width], the class token first."""
        hidden = self.patches(flat).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            token = self.class_token.to(hidden.dtype).expand(hidden.shape[0], 1, self.width)
            hidden = torch.cat([token, hidden], dim=1)
        hidden = self.first_norm(hidden + self.places)
        for block in self.blocks:
            hidden = block(hidden)
        result: Tensor = self.last_norm(hidden)
        return result
