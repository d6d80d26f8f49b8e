"""FAISS on the CPU: flat and inverted lists behind one search, filters and deep k included.

Flat is exact: with a filter it scans the allowed rows. Inverted lists probe the spec's number of lists
where the recall gate vouches for it, and as many as the query needs otherwise (``list_search``); where a
filter allows little more than such a search would score anyway, the allowed rows are scanned, which is exact.

The settings here were measured, not guessed: one OpenMP thread a search (two were three times
slower on small batches), and the matrix-product path from four queries on (a batch of 32 costs a seventh).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import faults
from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.list_search import ListSearch
from retrieval_gateway.index.ranking import FindCandidates, no_neighbours, rank_candidates
from retrieval_gateway.index.scan import scan_rows
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import Neighbours, check_search

__all__ = ["FaissIndex"]

_PLAIN_K = 128
"""Up to this k an unfiltered search probes the spec's lists; the recall gate measures k = 100."""
_SCAN_PORTIONS = 2
_SCAN_HITS = 8
"""Up to so many portions that a thorough search scores at least, or rows a hit, allowed rows are scanned:
scoring a row costs little more than its place in FAISS's heap of the best k."""
_BLAS_FROM_QUERIES = 4


class FaissIndex:
    """A built FAISS index with the vectors that it was built from.

    Args:
        index: the FAISS index, inner product.
        vectors: float32 [N, dim], C-contiguous, may be memory-mapped; scores come from these.
        spec: what the index is.

    Raises:
        faults.Mismatch: index, vectors and spec do not belong together.
    """

    def __init__(self, index: Any, vectors: NDArray[np.float32], spec: IndexSpec) -> None:
        _check_agreement(index, vectors, spec)
        self._index = index
        self._vectors = vectors
        self._lists = ListSearch(index, vectors, spec) if spec.kind == "ivf_sq8" else None
        self.spec = spec
        # A setting of the whole process; every release of ours that is open at once has about the same dim.
        faiss_module().cvar.distance_compute_blas_threshold = _BLAS_FROM_QUERIES * self.dim

    @property
    def kind(self) -> str:
        """``flat`` or ``ivf_sq8``."""
        return self.spec.kind

    @property
    def count(self) -> int:
        """Number of vectors."""
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._vectors.shape[1])

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors it was built from, float32 [N, dim]."""
        return self._vectors

    @property
    def faiss_index(self) -> Any:
        """The FAISS index itself, for saving."""
        return self._index

    def with_nprobe(self, nprobe: int) -> FaissIndex:
        """Returns the same index, searched more or less thoroughly; nothing is copied."""
        return FaissIndex(self._index, self._vectors, self.spec.with_nprobe(nprobe))

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> Neighbours:
        """Finds the k best neighbours of each query; see ``VectorIndex.search``."""
        check_search(queries, k, allowed, count=self.count, dim=self.dim)
        queries = np.ascontiguousarray(queries)
        available = self.count if allowed is None else int(np.count_nonzero(allowed))
        if not available or not len(queries):
            return no_neighbours(len(queries), k)
        # OpenMP keeps this number per thread, and our callers search from a pool of threads.
        faiss_module().omp_set_num_threads(1)
        find = self._finder(min(k, available), available, allowed)
        return rank_candidates(self._vectors, queries, k, available, find)

    def close(self) -> None:
        """Does nothing: this index is memory alone."""

    def _finder(self, k: int, available: int, allowed: NDArray[np.bool_] | None) -> FindCandidates:
        """Chooses the cheapest way that finds enough of the right candidates."""
        lists = self._lists
        if allowed is not None:
            if lists is None or available <= max(_SCAN_PORTIONS * lists.portion, _SCAN_HITS * k):
                rows = np.flatnonzero(allowed)
                return lambda asked, wanted: scan_rows(self._vectors, asked, wanted, rows)
            selector = faiss_module().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            return lambda asked, wanted: lists.thorough(asked, wanted, k, available, selector)
        if lists is None:
            return self._all
        if k > _PLAIN_K:
            return lambda asked, wanted: lists.thorough(asked, wanted, k, available, None)
        return lambda asked, wanted: lists.plain(asked, wanted, k)

    def _all(self, queries: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self._index.search(queries, wanted)[1]
        return rows


def _check_agreement(index: Any, vectors: NDArray[np.float32], spec: IndexSpec) -> None:
    faiss = faiss_module()
    inverted = isinstance(index, faiss.IndexIVF)
    facts = (
        ("index kind", spec.kind == "ivf_sq8", inverted),
        ("index count", len(vectors), int(index.ntotal)),
        ("index dim", int(vectors.shape[1]), int(index.d)),
        ("index metric", faiss.METRIC_INNER_PRODUCT, int(index.metric_type)),
        ("index nlist", spec.nlist, int(index.nlist) if inverted else 0),
    )
    for what, expected, found in facts:
        if expected != found:
            raise faults.Mismatch(
                what, expected=expected, found=found, fix="build the index again from these vectors."
            )
