"""A term of the retrieval stage's loss: a task beside query-to-product matching.

To add one, write a class with ``Term``'s two members and name it in
``towers.stage_kinds.retrieval_terms``. Weights that only the task needs (a predictor, a memory)
live in ``Towers.heads`` from before the first step on, so that they are kept in the progress.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from towers.build import Towers
from towers.data.examples import Batch
from towers.encoders.encoded import Encoded
from towers.towers import ProductEncoding, ProductViews


class Forward(NamedTuple):
    """What the towers made of a batch of P products and Q queries."""

    batch: Batch
    queries: Tensor
    """float32[Q,dim], L2-normalised."""
    query: Encoded
    """The queries' tokens."""
    products: ProductViews
    encoding: ProductEncoding
    """The products' tokens and places."""


class Term(Protocol):
    """One task's loss."""

    name: str
    """Of its curve."""

    def __call__(self, towers: Towers, forward: Forward) -> Tensor:
        """Returns a float scalar, unweighted; 0 where the batch gives the task nothing to do."""
        ...
