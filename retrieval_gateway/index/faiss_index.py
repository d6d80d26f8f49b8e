"""FAISS on the CPU: flat and inverted lists behind one search, filters included.

The settings here were measured, not guessed: one OpenMP thread a search (two were three times
slower on small batches), the matrix-product path from four queries on (a batch of 32 costs a
seventh), and more lists probed as a filter tightens, until scanning the allowed rows is better.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import faults
from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.ranking import no_neighbours, rank_candidates
from retrieval_gateway.index.scan import scan_rows
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import Neighbours, check_search

__all__ = ["FaissIndex"]

_SCAN_BELOW = 0.02
"""Share of allowed rows under which they are scanned: inverted lists lose their recall there."""
_BLAS_FROM_QUERIES = 4


class FaissIndex:
    """A built FAISS index with the vectors that it was built from.

    Args:
        index: the FAISS index, inner product.
        vectors: float32 [N, dim], may be memory-mapped; scores come from these.
        spec: what the index is.

    Raises:
        faults.Mismatch: index, vectors and spec do not belong together.
    """

    def __init__(self, index: Any, vectors: NDArray[np.float32], spec: IndexSpec) -> None:
        _check_agreement(index, vectors, spec)
        self._index = index
        self._vectors = vectors
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
        if allowed is not None and available < _SCAN_BELOW * self.count:
            rows = np.flatnonzero(allowed)
            return rank_candidates(
                self._vectors,
                queries,
                k,
                available,
                lambda asked, wanted: scan_rows(self._vectors, asked, wanted, rows),
            )
        selector = None if allowed is None else _Selector(allowed)
        return rank_candidates(
            self._vectors,
            queries,
            k,
            available,
            lambda asked, wanted: self._find(asked, wanted, min(k, available), available, selector),
        )

    def _find(
        self,
        queries: NDArray[np.float32],
        wanted: int,
        needed: int,
        available: int,
        selector: _Selector | None,
    ) -> NDArray[np.int64]:
        """Proposes candidates; where the probed lists held too few, all lists are gone through."""
        if self.kind == "flat":
            return self._ask(queries, wanted, _flat_parameters(selector))
        nprobe = min(self.spec.nlist, math.ceil(self.spec.nprobe * self.count / available))
        rows = self._ask(queries, wanted, _ivf_parameters(nprobe, selector))
        short = np.flatnonzero((rows >= 0).sum(axis=1) < needed)
        if len(short) and nprobe < self.spec.nlist:
            rows[short] = self._ask(queries[short], wanted, _ivf_parameters(self.spec.nlist, selector))
        return rows

    def _ask(self, queries: NDArray[np.float32], wanted: int, parameters: Any) -> NDArray[np.int64]:
        _, rows = self._index.search(queries, wanted, params=parameters)
        found: NDArray[np.int64] = rows
        return found


class _Selector:
    """A mask as FAISS wants it, one bit a row; it must outlive the searches that use it."""

    def __init__(self, allowed: NDArray[np.bool_]) -> None:
        self._bits = np.packbits(allowed, bitorder="little")
        self.faiss_selector = faiss_module().IDSelectorBitmap(self._bits)


def _flat_parameters(selector: _Selector | None) -> Any:
    return None if selector is None else faiss_module().SearchParameters(sel=selector.faiss_selector)


def _ivf_parameters(nprobe: int, selector: _Selector | None) -> Any:
    if selector is None:
        return faiss_module().SearchParametersIVF(nprobe=nprobe)
    return faiss_module().SearchParametersIVF(nprobe=nprobe, sel=selector.faiss_selector)


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
