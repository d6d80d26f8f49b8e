"""An index that a faster one stands before: the owner's answers where they are as good, the CPU's otherwise.

The owner proposes rows (a GPU, say); scores and order are computed here from the stored vectors, as for
every index. It is not asked under a filter, which GPU indexes honour approximately or not at all,
nor deeper than it can go. Where it fails, or returns what cannot be right, the CPU answers; either
way the answer says so.
"""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import faults
from retrieval_gateway.index.batch_owner import BatchOwner
from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.ranking import no_neighbours, rank_candidates
from retrieval_gateway.index.types import Neighbours, check_search

__all__ = ["OffloadedIndex"]


class OffloadedIndex:
    """A CPU index with an owner of a faster copy of it. Any thread may search.

    Args:
        cpu: the same vectors on the CPU.
        owner: searches the copy; closed with this index, or when nobody holds it any longer.
        most_candidates: rows a query that the copy can propose at most.
    """

    def __init__(self, cpu: FaissIndex, owner: BatchOwner, most_candidates: int) -> None:
        self._cpu = cpu
        self._owner = owner
        self._most_candidates = most_candidates
        weakref.finalize(self, owner.stop)

    @property
    def kind(self) -> str:
        """The kind of the CPU index, whose answers these are alike."""
        return self._cpu.kind

    @property
    def count(self) -> int:
        """Number of vectors."""
        return self._cpu.count

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._cpu.dim

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> Neighbours:
        """Finds the k best neighbours of each query; see ``VectorIndex.search``."""
        if allowed is not None:
            return replace(self._cpu.search(queries, k, allowed), on_cpu=True)
        check_search(queries, k, allowed, count=self.count, dim=self.dim)
        if not len(queries):
            return no_neighbours(0, k)
        faiss_module().omp_set_num_threads(1)
        try:
            return rank_candidates(
                self._cpu.vectors, np.ascontiguousarray(queries), k, self.count, self._propose
            )
        except faults.Unavailable:
            return replace(self._cpu.search(queries, k), on_cpu=True)

    def close(self) -> None:
        """Ends the owner's thread; a search that follows is answered by the CPU."""
        self._owner.close()

    def _propose(self, queries: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
        if wanted > self._most_candidates:
            raise faults.Unavailable(
                "more neighbours than the index's copy can find", field="k", value=wanted
            )
        rows = self._owner.search(queries, wanted)
        # Scoring reads the vectors at these rows unchecked; a row of -1 means too few lists.
        if rows.min() < 0 or rows.max() >= self.count:
            raise faults.Unavailable("the index's copy found too little", field="index")
        return np.ascontiguousarray(rows)
