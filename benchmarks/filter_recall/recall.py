"""Recall against brute force, filter by filter: the mean, the worst query, and whether k hits came."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.filter_recall.collection import FILTERS, Collection
from evaluation.exact import exact_search, recall_at_k
from retrieval_gateway.index import VectorIndex

__all__ = ["CASES", "Case", "Row", "measure"]


@dataclass(frozen=True)
class Case:
    """One line of the table: a filter and how deep is searched under it.

    Attributes:
        filter: a name in ``FILTERS``, or "none".
        share: of the rows, that are allowed.
        k: neighbours.
    """

    filter: str
    share: float
    k: int


CASES = (
    *(Case("none", 1.0, k) for k in (10, 100, 1000, 9600)),
    *(Case(name, share, k) for name in FILTERS for share in (0.5, 0.1, 0.01, 0.001) for k in (10, 100)),
    *(Case("whole kinds", share, k) for share in (0.5, 0.1) for k in (1000, 9600)),
)


@dataclass(frozen=True)
class Row:
    """What one index did in one case.

    Attributes:
        recall: mean over the queries, against brute force over the allowed rows.
        worst: the query with the least recall.
        full: every query got as many hits as there are, at most k.
        ms: milliseconds a query, asked one at a time; of this machine in this run.
    """

    case: Case
    index: str
    recall: float
    worst: float
    full: bool
    ms: float


def measure(
    indexes: Sequence[VectorIndex], collection: Collection, cases: Sequence[Case] = CASES, seed: int = 0
) -> Iterator[Row]:
    """Yields a row for each case and index; every index of a case sees the same filter."""
    for number, case in enumerate(cases):
        mask = _mask(case, collection, np.random.default_rng((seed, number)))
        truth = _truth(collection, mask, case.k)
        for index in indexes:
            yield _row(index, collection, case, None if case.filter == "none" else mask, truth)


def _mask(case: Case, collection: Collection, random: np.random.Generator) -> NDArray[np.bool_]:
    mask = np.ones(len(collection.vectors), np.bool_)
    if case.filter != "none":
        mask[:] = False
        mask[FILTERS[case.filter](collection, round(case.share * len(mask)), random)] = True
    return mask


def _truth(
    collection: Collection, mask: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows = np.flatnonzero(mask)
    found, scores = exact_search(collection.vectors[rows], collection.queries, k)
    return rows[found], scores


def _row(
    index: VectorIndex,
    collection: Collection,
    case: Case,
    mask: NDArray[np.bool_] | None,
    truth: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> Row:
    rows, best = truth
    recalls, full, seconds = [], True, 0.0
    for line in range(len(rows)):
        start = time.perf_counter()
        found = index.search(collection.queries[line : line + 1], case.k, mask)
        seconds += time.perf_counter() - start
        recalls.append(recall_at_k(found.rows, found.scores, rows[line : line + 1], best[line : line + 1]))
        full = full and int((found.rows >= 0).sum()) == rows.shape[1]
    return Row(case, index.kind, float(np.mean(recalls)), min(recalls), full, seconds * 1e3 / len(rows))
