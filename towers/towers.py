"""The query tower and the product tower: the two modules that are exported.

Their inputs and outputs are the tensors of DESIGN's "Triton models" contract,
names included, so a checkpoint needs no glue to become an engine.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.encoders.convnet import ConvNet
from towers.encoders.text_encoder import MASKED_SCORE, TextEncoder


class QueryTower(nn.Module):
    """A shopper's words to a unit vector."""

    def __init__(self, encoder: TextEncoder, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.project = projection(encoder.config.width, dim)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Maps int64[B,L] ids and mask to float32[B,dim], L2-normalised."""
        return unit(self.project(self.encoder(input_ids, attention_mask)))


class ProductViews(NamedTuple):
    """What the product tower knows of a batch of products; all float32."""

    fused: Tensor
    """[B,dim], L2-normalised."""
    weights: Tensor
    """[B,2]: text, image; they sum to 1, and a missing modality has exactly 0."""
    text: Tensor
    """[B,dim], L2-normalised; meaningless where has_text is false."""
    image: Tensor
    """[B,dim], L2-normalised; meaningless where has_image is false."""


class ModalityGate(nn.Module):
    """How much of a product's vector comes from its text, how much from its picture.

    A linear gate over both vectors, their product and the presence flags [DESIGN]:
    MAKE's abstract says what Modal Adaptation is for but not its formula; the
    nearest published one is Que2Search's attention fusion (KDD'21).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(3 * dim, 2)
        # Begin at even weights: the data decides, not the initialisation.
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, text: Tensor, image: Tensor, present: Tensor) -> Tensor:
        """Maps float[B,dim] twice and float[B,2] presence to weights float[B,2] that sum to 1."""
        scale = text.shape[-1] ** 0.5
        logits = self.score(torch.cat([text * scale, image * scale, text * image * scale**2], dim=-1))
        return torch.softmax(logits + (1.0 - present) * MASKED_SCORE, dim=-1)


class ProductTower(nn.Module):
    """A product's title, description and pictures to a unit vector and its modality weights."""

    def __init__(self, encoder: TextEncoder, image_encoder: ConvNet, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.image_encoder = image_encoder
        self.project_text = projection(encoder.config.width, dim)
        self.project_image = nn.Linear(image_encoder.width, dim)
        self.gate = ModalityGate(dim)

    def views(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> ProductViews:
        """All that training needs; see ``forward`` for the inputs."""
        text = unit(self.project_text(self.encoder(input_ids, attention_mask)))
        image = unit(self.project_image(self.image_encoder(pixels, has_image)))
        any_image = has_image.float().amax(dim=1, keepdim=True)
        weights = self.gate(text, image, torch.cat([has_text.float(), any_image], dim=1))
        fused = unit(weights[:, :1] * text + weights[:, 1:] * image)
        return ProductViews(fused, weights, text, image)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embeds products.

        Args:
            input_ids: int64[B,L]; a product without text carries the ids of the empty text.
            attention_mask: int64[B,L], 1 = token, 0 = padding.
            pixels: uint8[B,V,H,W,3], RGB; zeros where there is no picture.
            has_text: bool[B,1].
            has_image: bool[B,V].

        Returns:
            product_embedding float32[B,dim], L2-normalised, and modality_weights
            float32[B,2] (text, image).
        """
        views = self.views(input_ids, attention_mask, pixels, has_text, has_image)
        return views.fused, views.weights


def projection(width: int, dim: int) -> nn.Module:
    """A linear map to ``dim``; none where the encoder has that width, to keep what it already knows."""
    return nn.Identity() if width == dim else nn.Linear(width, dim)


def unit(vectors: Tensor) -> Tensor:
    """L2-normalises the rows of float[B,dim], in float32 whatever the encoder's precision."""
    return F.normalize(vectors.float(), dim=-1, eps=1e-6)
