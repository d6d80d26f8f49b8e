"""A linear gate: the weighted mean of the two vectors, each product with weights of its own.

The gate reads both vectors, their product and the presence flags [DESIGN]: MAKE's abstract says
what Modal Adaptation is for but not its formula; the nearest published one is Que2Search's
attention fusion (KDD'21).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from towers.encoders.encoded import Encoded
from towers.encoders.text_encoder import MASKED_SCORE
from towers.fusion.base import Fusion
from towers.vectors import unit


class ModalityGate(nn.Module):
    """How much of a product's vector comes from its text, how much from its picture."""

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


class GatedFusion(Fusion):
    """The weighted mean of the two vectors."""

    def __init__(self, dim: int, text_width: int, image_width: int) -> None:
        super().__init__(dim, text_width, image_width)
        self.gate = ModalityGate(dim)

    def forward(
        self, text: Encoded, image: Encoded, text_vector: Tensor, image_vector: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``Fusion.forward``; the sequences are not read."""
        weights = self.gate(text_vector, image_vector, present)
        return unit(weights[:, :1] * text_vector + weights[:, 1:] * image_vector), weights
