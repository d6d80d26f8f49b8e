"""What the gateway's index costs over bare FAISS, in turns in one run: at equal lists, and at equal recall.

Ours scores its candidates again with the stored vectors. That costs time, buys recall, and gives scores
that do not depend on the index. Equal recall is therefore made from both sides: ours with the fewest lists
with which it still finds as much as bare FAISS does with the gate's number; and bare FAISS with the fewest
lists with which it finds as much as ours, where any number does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.filter_recall.collection import Collection
from evaluation.exact import exact_search, recall_at_k
from retrieval_gateway.index import FaissIndex
from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.ranking import score_rows

__all__ = ["Overhead", "measure_overhead"]

_K = 100
_ROUNDS = 30
_GATE = 0.98
_MOST_MORE = 3
"""Times as many lists for bare FAISS, at most: what its codes lose, no number of lists brings back."""

Search: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True)
class Overhead:
    """One batch size.

    Attributes:
        batch: queries a call.
        nprobe: lists with which the index passes the gate.
        bare_us: CPU microseconds a query of bare FAISS with these, median over the rounds.
        bare_recall: its recall@100.
        recall: ours with as many lists.
        ratio: ours over bare FAISS, CPU time, by round: median, least, most.
        fewer: lists with which ours finds as much as bare FAISS does with ``nprobe``.
        ratio_fewer: ours with ``fewer`` over bare FAISS with ``nprobe``.
        more: lists with which bare FAISS finds as much as ours does with ``nprobe``; None if none do.
        ratio_more: ours with ``nprobe`` over bare FAISS with ``more``.
    """

    batch: int
    nprobe: int
    bare_us: float
    bare_recall: float
    recall: float
    ratio: tuple[float, float, float]
    fewer: int
    ratio_fewer: tuple[float, float, float]
    more: int | None
    ratio_more: tuple[float, float, float] | None


def measure_overhead(
    index: FaissIndex, collection: Collection, batches: Sequence[int] = (1, 32)
) -> list[Overhead]:
    """Compares an ``ivf_sq8`` index with the FAISS index in it, on one thread.

    Its number of lists is first doubled until it passes the recall gate, as it would be before it serves.
    """
    faiss_module().omp_set_num_threads(1)
    queries, lists = collection.queries, index.spec.nprobe
    truth = exact_search(collection.vectors, queries, _K)

    def recall(search: Search) -> float:
        rows = np.ascontiguousarray(search(queries))
        return recall_at_k(rows, score_rows(collection.vectors, queries, rows), *truth)

    while (our_recall := recall(_ours(index, lists))) < _GATE and lists < index.spec.nlist:
        lists = min(2 * lists, index.spec.nlist)
    bare_recall = recall(_bare(index, lists))
    fewer = 1 + next((n for n in range(lists - 1, 0, -1) if recall(_ours(index, n)) < bare_recall), 0)
    enough = (n for n in range(lists, _MOST_MORE * lists) if recall(_bare(index, n)) >= our_recall)
    more = next(enough, None)
    contenders = [_bare(index, lists), _ours(index, lists), _ours(index, fewer), _bare(index, more or lists)]
    results = []
    for batch in sorted({min(batch, len(queries)) for batch in batches}):
        asked = [queries[start : start + batch] for start in range(0, len(queries) - batch + 1, batch)]
        bare, ours, ours_fewer, bare_more = _interleaved(asked, contenders)
        results.append(
            Overhead(
                batch,
                lists,
                float(np.median(bare)) * 1e6 / (batch * len(asked)),
                bare_recall,
                our_recall,
                _spread(ours / bare),
                fewer,
                _spread(ours_fewer / bare),
                more,
                None if more is None else _spread(ours / bare_more),
            )
        )
    return results


def _bare(index: FaissIndex, nprobe: int) -> Search:
    parameters = faiss_module().SearchParametersIVF(nprobe=nprobe)

    def search(queries: NDArray[np.float32]) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = index.faiss_index.search(queries, _K, params=parameters)[1]
        return rows

    return search


def _ours(index: FaissIndex, nprobe: int) -> Search:
    probing = index.with_nprobe(nprobe)
    return lambda queries: probing.search(queries, _K).rows


def _interleaved(asked: Sequence[NDArray[np.float32]], searches: Sequence[Search]) -> NDArray[np.float64]:
    """Returns CPU seconds of each search over all queries: float64 [searches, rounds]."""
    seconds = np.empty((len(searches), _ROUNDS))
    for number in range(-1, _ROUNDS):  # round -1 warms up and is written over
        for place, search in enumerate(searches):
            start = time.thread_time()
            for part in asked:
                search(part)
            seconds[place, number] = time.thread_time() - start
    return seconds


def _spread(ratios: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())
