"""Attention of one sequence over another: words over places of pictures, places over words.

Keys and values are made apart from the asking, because a sequence that is asked by many (a product
by several queries) needs them once.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from towers.encoders.text_encoder import MASKED_SCORE

_MOST_HEADS = 4


class CrossAttention(nn.Module):
    """Multi-head attention with an additive mask.

    Args:
        asking_width: of the sequence that attends.
        asked_width: of the sequence that is attended to.
        width: of what comes out; it is divided over up to four heads.
    """

    def __init__(self, asking_width: int, asked_width: int, width: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in range(_MOST_HEADS, 0, -1) if width % heads == 0)
        self.query = nn.Linear(asking_width, width)
        self.key = nn.Linear(asked_width, width)
        self.value = nn.Linear(asked_width, width)
        self.output = nn.Linear(width, width)

    def _split(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        return hidden.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def keys_and_values(self, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Maps float[B,M,asked_width] to keys and values, float[B,heads,M,width/heads] each."""
        return self._split(self.key(asked)), self._split(self.value(asked))

    def attend(self, asking: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Lets sequences ask.

        Args:
            asking: float[B,L,asking_width].
            keys: see ``keys_and_values``.
            values: see ``keys_and_values``.
            present: float[B,M]: 1 where there is something to attend to. Where all is 0 the result
                means nothing, but it is finite.

        Returns:
            float[B,L,width]; places that are not there have no part in it.
        """
        bias = ((1.0 - present) * MASKED_SCORE)[:, None, None, :]
        queries = self._split(self.query(asking))
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(queries.dtype))
        heard: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return heard

    def forward(self, asking: Tensor, asked: Tensor, present: Tensor) -> Tensor:
        """Maps float[B,L,asking_width], float[B,M,asked_width] and float[B,M] to float[B,L,width]."""
        return self.attend(asking, *self.keys_and_values(asked), present)
