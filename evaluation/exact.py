"""Exact nearest neighbours by inner product, and the recall of an approximate search against them.

This is the yardstick of the index gate, so it trades speed for being beyond doubt: plain
blocked matrix products, ties broken by row, nothing shared with the index that it judges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["exact_search", "recall_at_k"]

_BLOCK_ROWS = 65_536
"""Vectors a block: 32 queries x 65,536 scores are 8 MB, which stays near the caches."""
_QUERY_BLOCK = 32
_TIE_TOLERANCE = 1e-6
"""Below the noise of a float32 inner product of unit vectors: such scores are called equal."""


def exact_search(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Finds the ``min(k, N)`` vectors of largest inner product for each query.

    Args:
        vectors: float32 [N, dim]; may be memory-mapped, it is read block by block.
        queries: float32 [B, dim].
        k: how many neighbours, at least 1.

    Returns:
        rows int64 [B, min(k, N)] and scores float32 of the same shape, best first; equal
        scores stand in rising order of rows.

    Raises:
        faults.InvalidInput: k below 1, or dimensions that differ.
    """
    if k < 1:
        raise faults.InvalidInput(
            "at least one neighbour must be asked for", field="k", value=k, fix="k >= 1."
        )
    if vectors.ndim != 2 or queries.ndim != 2 or vectors.shape[1] != queries.shape[1]:
        raise faults.InvalidInput(
            "vectors and queries must be two matrices of one width",
            field="queries",
            value=(vectors.shape, queries.shape),
            fix="embed both with towers of the same release.",
        )
    width = min(k, len(vectors))
    rows = np.empty((len(queries), width), np.int64)
    scores = np.empty((len(queries), width), np.float32)
    for start in range(0, len(queries), _QUERY_BLOCK):
        part = slice(start, start + _QUERY_BLOCK)
        rows[part], scores[part] = _search_block(vectors, queries[part], width)
    return rows, scores


def recall_at_k(
    found_rows: NDArray[np.int64],
    found_scores: NDArray[np.float32],
    exact_rows: NDArray[np.int64],
    exact_scores: NDArray[np.float32],
) -> float:
    """Returns the mean share of the exact top k that a search found, forgiving ties.

    A found item counts when it is one of the exact rows, or when its score reaches the k-th
    exact score less 1e-6: of two equal neighbours either is right. The scores must therefore
    be true inner products (an index that reports quantised scores must score its hits again).
    A row of -1 (nothing found) never counts, and neither does the second mention of a row.

    Args:
        found_rows: int64 [B, any width].
        found_scores: float32, of the shape of ``found_rows``.
        exact_rows: int64 [B, k].
        exact_scores: float32 [B, k], best first.

    Raises:
        faults.InvalidInput: the shapes do not belong together, or there is nothing to compare with.
    """
    if found_rows.shape != found_scores.shape or exact_rows.shape != exact_scores.shape:
        raise faults.InvalidInput(
            "rows and scores must have the same shape", field="found_rows", value=found_rows.shape
        )
    if len(found_rows) != len(exact_rows) or exact_rows.size == 0:
        raise faults.InvalidInput(
            "the found and the exact neighbours must be of the same queries, at least one",
            field="exact_rows",
            value=(found_rows.shape, exact_rows.shape),
        )
    k = exact_rows.shape[1]
    hits: int = 0
    for rows, scores, truth, best in zip(found_rows, found_scores, exact_rows, exact_scores, strict=True):
        good = (rows >= 0) & (np.isin(rows, truth) | (scores >= best[-1] - _TIE_TOLERANCE))
        hits += min(k, len(np.unique(rows[good])))
    return float(hits / (k * len(exact_rows)))


def _search_block(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Goes through all vectors once for a few queries, keeping the best k so far."""
    rows = np.empty((len(queries), 0), np.int64)
    scores = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        block_rows = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        rows, scores = _best(
            np.concatenate((rows, block_rows), axis=1),
            np.concatenate((scores, queries @ block.T), axis=1),
            k,
        )
    return rows, scores


def _best(
    rows: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns the k best columns of each line: by falling score, then by rising row."""
    width = min(k, scores.shape[1])
    best_rows = np.empty((len(rows), width), np.int64)
    best_scores = np.empty((len(rows), width), np.float32)
    for line in range(len(rows)):
        # Everything that ties with the k-th stays in, so that the row decides and not the partition.
        threshold = np.partition(scores[line], -width)[-width]
        kept = np.flatnonzero(scores[line] >= threshold)
        kept = kept[np.lexsort((rows[line, kept], -scores[line, kept]))[:width]]
        best_rows[line], best_scores[line] = rows[line, kept], scores[line, kept]
    return best_rows, best_scores
