"""How many inverted lists a search looks at: as many as can still hold what it is asked for.

The plain search probes a fixed number of lists, which the recall gate fixed for 100 unfiltered
neighbours. A filter or a deep k needs more, and how many more depends on the query: a filter on a
category far from the query leaves the near lists empty, and no rule made of the filter's share alone
sees that. So a thorough search first scores a portion of the allowed rows, in the order of their lists,
takes the k-th score found, and then looks at every further list of which some row may still reach that
score: a list's rows score about as its centroid does, spread normally around it, and the spread is
measured on the vectors themselves. Where the portion was enough this adds nothing; in the hard case
it ends at all lists.

That a search by inverted lists should stop query by query is from Li et al., "Improving Approximate
Nearest Neighbor Search through Learned Adaptive Early Termination" (SIGMOD 2020), who learn when; the
bound by a normal spread is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.ranking import score_rows
from retrieval_gateway.index.spec import IndexSpec

__all__ = ["ListSearch"]

_MISSES = 0.1
"""Share of k that may be missed, were all allowed rows in lists just beyond the last one looked at."""
_SAMPLE = 1024


class ListSearch:
    """Proposes candidates from inverted lists. Immutable: any thread may search.

    Args:
        index: a FAISS IVF index by inner product.
        vectors: float32 [N, dim], C-contiguous, what it was built from.
        spec: its settings.

    Attributes:
        portion: rows that a plain search scores, about; a thorough one scores as many allowed ones at least.
    """

    def __init__(self, index: Any, vectors: NDArray[np.float32], spec: IndexSpec) -> None:
        self._index = index
        self._vectors = vectors
        self._plain = faiss_module().SearchParametersIVF(nprobe=spec.nprobe)
        self.portion = math.ceil(spec.nprobe * len(vectors) / spec.nlist)
        self._filled = np.array([index.invlists.list_size(number) > 0 for number in range(spec.nlist)])
        self._spread = _spread(index, vectors)

    def plain(self, queries: NDArray[np.float32], wanted: int, k: int) -> NDArray[np.int64]:
        """Returns candidates int64 [B, wanted] from the spec's number of lists; -1 only beyond place k."""
        rows: NDArray[np.int64] = self._index.search(queries, wanted, params=self._plain)[1]
        if rows[:, k - 1].min() < 0:
            short = rows[:, k - 1] < 0
            rows[short] = self.thorough(queries[short], wanted, k, len(self._vectors), None)
        return rows

    def thorough(
        self, queries: NDArray[np.float32], wanted: int, k: int, available: int, selector: Any
    ) -> NDArray[np.int64]:
        """Returns candidates int64 [B, wanted], no -1, from as many lists as the k-th score asks for.

        Args:
            queries: float32 [B, dim].
            wanted: candidates, from k to ``available``.
            k: neighbours that will be kept.
            available: rows that the selector allows.
            selector: a FAISS IDSelector, or None.
        """
        nearness, lists = self._index.quantizer.search(queries, len(self._filled))
        margin = self._spread * NormalDist().inv_cdf(1 - _MISSES * k / available)
        found = np.empty((len(queries), wanted), np.int64)
        for line in range(len(queries)):
            task = _Task(queries[line : line + 1], lists[line], nearness[line], wanted, selector)
            found[line] = self._reach(task, k, margin)
        return found

    def _reach(self, task: _Task, k: int, margin: float) -> NDArray[np.int64]:
        """Looks at a first portion, and then at the lists that may hold more."""
        rows, filled = self._look(task, slice(None), max(self.portion, 2 * task.wanted))
        scores = score_rows(self._vectors, task.query, rows)[0]
        kth = np.partition(scores, -k)[-k]
        # FAISS counts the lists that hold something.
        seen = int(np.searchsorted(np.cumsum(self._filled[task.lists]), filled)) + 1
        end = int(np.searchsorted(-task.nearness, margin - kth, side="right"))
        if end > seen:
            more, _ = self._look(task, slice(seen, end), 0)
            both = np.concatenate((rows, more), axis=1)
            scores = score_rows(self._vectors, task.query, both)[0]
            rows = both[:, np.argpartition(-scores, task.wanted - 1)[: task.wanted]]
        best: NDArray[np.int64] = rows[0]
        return best

    def _look(self, task: _Task, part: slice, portion: int) -> tuple[NDArray[np.int64], int]:
        """Returns the best rows int64 [1, wanted] of some lists, and how many lists that took.

        Whole lists are scored until ``portion`` allowed rows are; 0 for all of these lists.
        """
        faiss = faiss_module()
        lists, nearness = task.lists[part], task.nearness[part]
        rows, scores = np.empty((1, task.wanted), np.int64), np.empty((1, task.wanted), np.float32)
        parameters = faiss.SearchParametersIVF(
            nprobe=len(lists), max_codes=portion, ensure_topk_full=True, sel=task.selector
        )
        statistics = faiss.IndexIVFStats()
        pointers = (faiss.swig_ptr(array) for array in (lists, nearness, scores, rows))
        # The Python wrapper of this call takes no parameters; the call itself does.
        self._index.search_preassigned_c(
            1, faiss.swig_ptr(task.query), task.wanted, *pointers, False, parameters, statistics
        )
        return rows, int(statistics.nlist)


@dataclass(frozen=True, slots=True)
class _Task:
    """One query [1, dim] with all lists, nearest first, and their centroids' inner products with it."""

    query: NDArray[np.float32]
    lists: NDArray[np.int64]
    nearness: NDArray[np.float32]
    wanted: int
    selector: Any


def _spread(index: Any, vectors: NDArray[np.float32]) -> float:
    """Returns the standard deviation of a row's score around its list's, over queries that are rows too.

    Vectors fill few of their directions, and queries lie in the same ones: the spread along these
    is what counts, not the mean over all.
    """
    sample = np.ascontiguousarray(vectors[:: max(1, len(vectors) // _SAMPLE)][:_SAMPLE])
    lists = index.quantizer.search(sample, 1)[1][:, 0]
    offsets = sample - index.quantizer.reconstruct_batch(lists)
    scores = sample @ offsets.T
    np.fill_diagonal(scores, 0)  # a row is no query for itself
    return float(scores.std())
