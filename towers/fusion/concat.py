"""Naive concatenation: both vectors side by side through a small network. An arm, to be beaten.

It has no gate. Nothing in it says how much of a vector comes from the words, so its weights only
say what is there: a half each where a product has both. Don't read them as an explanation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from towers.encoders.encoded import Encoded
from towers.encoders.text_encoder import MASKED_SCORE
from towers.fusion.base import Fusion
from towers.vectors import unit


class Concatenation(Fusion):
    """``unit(MLP([t; v]))``, with zeros for a missing modality.

    System C reports such an arm between text only and its fusion network (an author's blog post);
    its sizes are not published, and these are ours [DESIGN].
    """

    def __init__(self, dim: int, text_width: int, image_width: int) -> None:
        super().__init__(dim, text_width, image_width)
        self.network = nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(
        self, text: Encoded, image: Encoded, text_vector: Tensor, image_vector: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``Fusion.forward``; the sequences are not read."""
        both = torch.cat([text_vector * present[:, :1], image_vector * present[:, 1:]], dim=1)
        # Entries of about 1, as the layers' initialisation expects.
        fused = unit(self.network(both * self.dim**0.5))
        return fused, torch.softmax((1.0 - present) * MASKED_SCORE, dim=-1)
