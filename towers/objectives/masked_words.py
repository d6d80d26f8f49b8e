"""Masked language modelling: hidden word pieces of queries and of titles are guessed from the others.

BERT's task (Devlin et al., 2019): of the pieces, 15 % are chosen; of these 80 % become [MASK], 10 %
another piece, 10 % stay. It runs on the encoders' own tokens, before anything joins words and pictures:
MAKE's ancestor at the same team reports that masked modelling belongs into the item tower, and loses
when moved up to the cross-modal encoder. That MAKE itself pre-trains with it is our reading of this
ancestor [DESIGN].
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from catalog.tokenizer import Tokenizer
from faults import InvalidInput
from towers.build import Towers
from towers.encoders.text_encoder import TextEncoder
from towers.objectives.term import Forward
from towers.recipe import Recipe

HEAD = "masked_words"
"""Its name among the towers' heads."""

_CHOSEN, _HIDDEN, _REPLACED = 0.15, 0.8, 0.1


@dataclass(frozen=True)
class Vocabulary:
    """What may be hidden, and by what."""

    mask_id: int
    ordinary: Tensor
    """int64[N]: the ids of all pieces that are no special tokens, in ascending order."""


class Guesser(nn.Module):
    """BERT's head: a dense layer, then scores by the encoder's own token table.

    The table is given at each call and belongs to the encoder, so it is in no checkpoint twice.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Maps float[N,width] and float[vocabulary,width] to scores float32[N,vocabulary]."""
        scores = F.linear(self.norm(F.gelu(self.dense(hidden))), table, self.bias)
        return scores.float()


class MaskedWords:
    """The term: the mean of the queries' and the titles' losses.

    Args:
        tokenizer: the towers' own.
    """

    name = "masked_words"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._vocabulary = vocabulary_of(tokenizer)

    def __call__(self, towers: Towers, forward: Forward) -> Tensor:
        """See ``Term``; it runs both text encoders once more, over what is left of the words.

        Of the queries it takes as many as there are products: a batch has several for each, and a second
        pass over all of them would cost more than it teaches.
        """
        batch, head = forward.batch, towers.heads[HEAD]
        assert isinstance(head, nn.ModuleDict)
        each = max(1, len(batch.query_ids) // len(batch.product_ids))
        asked = self._loss(
            towers.query.encoder, head["query"], batch.query_ids[::each], batch.query_mask[::each]
        )
        sold = self._loss(towers.product.encoder, head["product"], batch.product_ids, batch.product_mask)
        return (asked + sold) / 2

    def _loss(self, encoder: TextEncoder, guesser: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
        shown, chosen = hide(ids, mask, self._vocabulary)
        hidden = encoder.encode(shown, mask).tokens[chosen]
        scores = guesser(hidden, encoder.tokens.weight)
        # Not the mean of cross_entropy: of no pieces at all it is no number.
        return F.cross_entropy(scores, ids[chosen], reduction="sum") / chosen.sum().clamp(min=1)


def add_heads(towers: Towers, recipe: Recipe) -> None:
    """Adds the heads that the term trains; none are added twice."""
    del recipe  # the encoders have all sizes
    if HEAD not in towers.heads:
        encoders = {"query": towers.query.encoder, "product": towers.product.encoder}
        towers.heads[HEAD] = nn.ModuleDict(
            {name: Guesser(one.config.width, one.config.vocabulary) for name, one in encoders.items()}
        )


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """Reads which ids are special from the tokenizer's own file.

    Raises:
        InvalidInput: the tokenizer has no [MASK].
    """
    added = json.loads(tokenizer.to_bytes())["added_tokens"]
    special = {entry["content"]: entry["id"] for entry in added if entry["special"]}
    if "[MASK]" not in special:
        raise InvalidInput(
            "masked words need a [MASK]",
            field="tokenizer",
            value=sorted(special),
            fix="Take the tokenizer.json of a BERT-like checkpoint, or leave masked_words at 0.",
        )
    ordinary = torch.ones(tokenizer.vocabulary_size, dtype=torch.bool)
    ordinary[list(special.values())] = False
    return Vocabulary(special["[MASK]"], ordinary.nonzero().flatten())


def hide(ids: Tensor, mask: Tensor, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Hides word pieces, drawn by torch's generator; special tokens and padding never.

    Args:
        ids: int64[B,L].
        mask: int64[B,L], 1 = token, 0 = padding.
        vocabulary: what may be hidden, and by what.

    Returns:
        The ids that the encoder sees, int64[B,L], and bool[B,L]: the pieces to be guessed.
    """
    ordinary = vocabulary.ordinary.to(ids.device)
    luck, fate = (torch.rand(ids.shape, device=ids.device) for _ in range(2))
    others = ordinary[torch.randint(len(ordinary), ids.shape, device=ids.device)]
    chosen = (luck < _CHOSEN) & (mask == 1) & torch.isin(ids, ordinary)
    shown = torch.where(chosen & (fate < _HIDDEN), vocabulary.mask_id, ids)
    replaced = chosen & (fate >= _HIDDEN) & (fate < _HIDDEN + _REPLACED)
    return torch.where(replaced, others, shown), chosen
