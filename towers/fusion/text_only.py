"""No fusion: a product is its words. The arm that every use of pictures is measured against.

A product without words has nothing but its picture, and takes that vector. So the rule of all
fusions holds here too: what is missing has weight 0. Where there are words, the picture has no
influence at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from towers.encoders.encoded import Encoded
from towers.fusion.base import Fusion
from towers.vectors import unit


class TextOnly(Fusion):
    """Weights (1, 0) for a product with words, (0, 1) for one that has pictures alone; nothing is learned.

    System C's baseline is a text-only product tower (its abstract); taking the picture where there
    are no words is our addition [DESIGN].
    """

    def forward(
        self, text: Encoded, image: Encoded, text_vector: Tensor, image_vector: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``Fusion.forward``; the sequences are not read."""
        image_weight = (1.0 - present[:, :1]) * present[:, 1:]
        weights = torch.cat([1.0 - image_weight, image_weight], dim=1)
        return unit(weights[:, :1] * text_vector + weights[:, 1:] * image_vector), weights
