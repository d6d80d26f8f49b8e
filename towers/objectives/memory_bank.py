"""A memory bank: product vectors of earlier steps as further negatives.

System B enlarges the number of negatives by a memory bank ("MBNS" in a summary of the paper; its size,
age and warm-up are not published). Ours [DESIGN] is first in, first out: the vectors of a step go in
without gradient, the oldest leave. It is used only after a warm-up, since vectors of a tower that still
moves fast are no use a few steps later (CBNS, arXiv 2110.15154, warms up for that reason). A product
that a query was clicked for is no negative, wherever it comes from: the bank keeps products' rows. What
merely may be meant by a query (the batch's ``keyword_mask``) is a negative once it is in the bank.

The bank is a module with buffers alone: as one of the towers' heads it lies in a training's progress, so
that a resumed training finds the same negatives. It is no part of the exported towers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

_EMPTY = -1
HEAD = "memory_bank"
"""Its name among the towers' heads."""


class MemoryBank(nn.Module):
    """The product vectors of the last steps.

    Args:
        size: vectors kept.
        dim: of a vector.
        warmup_steps: steps of which vectors are kept but none is used yet.
        delay: leaves out vectors younger than so many steps; what remains is older. It is for
            experiments on ages; 0 uses all.
    """

    vectors: Tensor
    """float32[size,dim], in the order of their places, not of their age."""
    rows: Tensor
    """int64[size]: the product row of each vector; -1 where there is none yet."""
    stored_at: Tensor
    """int64[size]: the step at which each was stored."""
    steps: Tensor
    """int64 scalar: steps stored so far."""
    place: Tensor
    """int64 scalar: where the next vector goes, which is where the oldest one is."""

    def __init__(self, size: int, dim: int, warmup_steps: int = 0, delay: int = 0) -> None:
        super().__init__()
        self.warmup_steps, self.delay = warmup_steps, delay
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("rows", torch.full((size,), _EMPTY))
        self.register_buffer("stored_at", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @property
    def ages(self) -> Tensor:
        """int64[size]: steps since each vector was stored, 1 for those of the last step; -1 where empty."""
        return torch.where(self.rows == _EMPTY, _EMPTY, self.steps - self.stored_at)

    @property
    def usable(self) -> Tensor:
        """bool[size]: which vectors are negatives now; none during the warm-up."""
        return (self.ages > self.delay) & (self.steps >= self.warmup_steps)

    @torch.no_grad()
    def store(self, vectors: Tensor, rows: Tensor) -> None:
        """Ends a step: its vectors replace the oldest ones.

        In a training on several devices, give the vectors of all: the banks then stay equal.

        Args:
            vectors: float[P,dim], L2-normalised; no gradient will reach them. Of more than the bank
                holds, the last ones are kept.
            rows: int64[P], their product rows in the catalogue.
        """
        size = len(self.rows)
        kept = min(len(rows), size)
        places = (self.place + torch.arange(kept, device=self.rows.device)) % size
        self.vectors[places] = vectors[len(rows) - kept :].detach().to(self.vectors.dtype)
        self.rows[places] = rows[len(rows) - kept :].to(self.rows.device)
        self.stored_at[places] = self.steps
        self.place.copy_((self.place + kept) % size)
        self.steps += 1

    def negatives(self, queries: Tensor, known: Tensor) -> Tensor:
        """Scores queries against the bank, before this step's products are stored in it.

        Args:
            queries: float32[Q,dim], L2-normalised; the gradient reaches these.
            known: bool[Q,size]: the vector's product is known to fit the query (see ``known_in_bank``).

        Returns:
            float32[Q,size] cosines; -inf where the vector is no negative of that query: the
            ``further`` columns of ``in_batch_softmax``.
        """
        # A copy: the step is stored before its gradient is taken.
        cosines = queries @ self.vectors.clone().T
        return cosines.masked_fill(known | ~self.usable, float("-inf"))


def known_in_bank(clicked: Sequence[frozenset[int]], queries: Sequence[int], rows: Tensor) -> Tensor:
    """Says which vectors of a bank are of products that a query was clicked for.

    Args:
        clicked: for each query of the log, the product rows clicked for it.
        queries: Q places in ``clicked``.
        rows: int64[size], the bank's rows; -1 where it is empty.

    Returns:
        bool[Q,size], on the device of ``rows``.
    """
    order = rows.cpu().numpy()
    known = np.zeros((len(queries), len(order)), dtype=np.bool_)
    # Each distinct query once: a batch asks the popular ones many times.
    for query in set(queries):
        fits = np.isin(order, np.fromiter(clicked[query], dtype=np.int64, count=len(clicked[query])))
        known[np.equal(queries, query)] = fits
    return torch.from_numpy(known).to(rows.device)
