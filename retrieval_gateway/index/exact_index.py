"""The reference that every other index is compared with, and the fake for tests without FAISS.

It scores every pair and sorts everything. Nothing in it is clever, so that nothing in it can
be wrong in the same way as the index under test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.index.ranking import no_neighbours
from retrieval_gateway.index.types import Neighbours, check_search
from retrieval_gateway.index.vectors import check_vectors

__all__ = ["ExactIndex"]


class ExactIndex:
    """Exact search in numpy.

    Args:
        vectors: float32 [N, dim].

    Raises:
        faults.InvalidInput: see ``check_vectors``.
    """

    kind = "exact"

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        check_vectors(vectors)
        self._vectors = vectors

    @property
    def count(self) -> int:
        """Number of vectors."""
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._vectors.shape[1])

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> Neighbours:
        """Finds the k best neighbours of each query; see ``VectorIndex.search``."""
        check_search(queries, k, allowed, count=self.count, dim=self.dim)
        rows = np.arange(self.count) if allowed is None else np.flatnonzero(allowed)
        answer = no_neighbours(len(queries), k)
        for line, query in enumerate(queries):
            scores = np.einsum("nd,d->n", self._vectors[rows], query)
            order = np.lexsort((rows, -scores))[:k]
            answer.rows[line, : len(order)], answer.scores[line, : len(order)] = rows[order], scores[order]
        return answer

    def close(self) -> None:
        """Does nothing: this index is memory alone."""
