"""A learned token that attends over a product's two vectors: system C's fusion network.

"Beyond Text" (arXiv 2603.04836) says in its abstract that a modality fusion network captures
complementary information of text and image; an author's blog post writes it as attention over
both. The network itself is not published. This one is our proposal [DESIGN]:

    u = MHA(query = [FUS], keys and values = {t, v})
    p = unit(LN(u + MLP([t; v; t*v])))

The row of attention of [FUS], averaged over the heads, is the weight of each modality. It covers
``u``; what the MLP adds is in no weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from towers.encoders.encoded import Encoded
from towers.encoders.text_encoder import MASKED_SCORE
from towers.fusion.base import Fusion
from towers.vectors import unit

_MOST_HEADS = 4


class FusionToken(Fusion):
    """Multi-head attention of one learned token, plus what both vectors say together.

    It begins as the plain mean of both vectors (attention even, values as they are, MLP silent), so
    that a second stage starts from what the first one has aligned.
    """

    def __init__(self, dim: int, text_width: int, image_width: int) -> None:
        super().__init__(dim, text_width, image_width)
        self.heads = next(heads for heads in range(_MOST_HEADS, 0, -1) if dim % heads == 0)
        # A linear map of a learned constant is a learned constant: the token needs no query layer.
        self.token = nn.Parameter(torch.randn(self.heads, dim // self.heads))
        self.kinds = nn.Parameter(torch.zeros(2, dim))
        """Added to the keys: says which vector is the text's."""
        self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(3))
        silent = nn.Linear(dim, dim)
        self.together = nn.Sequential(nn.Linear(3 * dim, dim), nn.GELU(), silent)
        self.norm = nn.LayerNorm(dim)
        for layer in (self.value, self.output):
            nn.init.eye_(layer.weight)
        # The keys and not the token: from a token of zeros no key would learn.
        for layer in (self.key, silent):
            nn.init.zeros_(layer.weight)
        for layer in (self.key, self.value, self.output, silent):
            nn.init.zeros_(layer.bias)

    def forward(
        self, text: Encoded, image: Encoded, text_vector: Tensor, image_vector: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``Fusion.forward``; the sequences are not read."""
        # Entries of about 1, as the layers' initialisation expects, and zeros for what is missing.
        pair = torch.stack([text_vector, image_vector], dim=1) * present[..., None] * self.dim**0.5
        attention = self._attention(pair, present)
        values = self.value(pair).unflatten(-1, (self.heads, -1))
        mixed = self.output((attention[..., None] * values).sum(dim=1).flatten(1))
        words, picture = pair[:, 0], pair[:, 1]
        together = self.together(torch.cat([words, picture, words * picture], dim=-1))
        return unit(self.norm(mixed + together)), attention.mean(dim=-1)

    def _attention(self, pair: Tensor, present: Tensor) -> Tensor:
        """Maps float[B,2,dim] to weights float[B,2,heads], which sum to 1 over the two."""
        keys = self.key(pair + self.kinds).unflatten(-1, (self.heads, -1))
        logits = (keys * self.token).sum(dim=-1) / keys.shape[-1] ** 0.5
        return torch.softmax(logits + (1.0 - present)[..., None] * MASKED_SCORE, dim=1)
