"""From candidates to an answer: true scores, and an order that can be repeated.

Every index of ours only proposes candidates; the scores are computed here, from the stored
vectors, pair by pair. This buys three things for some 20 microseconds a query. Quantised codes no
longer decide the order. A hit has the same score whether an index, an exact scan or another
batch found it (blocked matrix products differ in their last digits with the shape of the
batch). And equal products get bit-equal scores, so that their order by row holds, instead of
changing from one call to the next under a shopper who turns a page.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.types import Neighbours

__all__ = ["SPARE", "FindCandidates", "no_neighbours", "rank_candidates", "score_rows"]

FindCandidates = Callable[[NDArray[np.float32], int], NDArray[np.int64]]
"""(queries [b, dim], how many) -> candidate rows int64 [b, any width], -1 for none."""

SPARE = 16
"""Candidates beyond k: enough for near-ties at the k-th place."""
_GROWTH = 4
_MOST_CANDIDATES = 4096
_NO_LINES = np.empty(0, np.int64)


def no_neighbours(queries: int, k: int) -> Neighbours:
    """Returns an answer in which nothing was found."""
    return Neighbours(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def score_rows(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Returns the inner product of each query with each of its rows; -inf where the row is -1.

    FAISS sums each pair alone and in a fixed order, so that equal vectors score equally, and reads
    the vectors where they lie.

    Args:
        vectors: float32 [N, dim], C-contiguous.
        queries: float32 [B, dim], C-contiguous.
        rows: int64 [B, m], C-contiguous, each below N: nobody checks again.
    """
    faiss = faiss_module()
    scores = np.empty(rows.shape, np.float32)
    pointers = (faiss.swig_ptr(array) for array in (scores, queries, vectors, rows))
    faiss.fvec_inner_products_by_idx(*pointers, vectors.shape[1], *rows.shape)
    return scores


def rank_candidates(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    available: int,
    find: FindCandidates,
) -> Neighbours:
    """Asks for candidates, scores them and keeps the best k: by falling score, then by rising row.

    Where the last candidate ties with the k-th, more rows may tie that were not proposed; then
    more are asked for, up to a bound that keeps a catalogue of equal products searchable.

    Args:
        vectors: float32 [N, dim], C-contiguous.
        queries: float32 [B, dim], C-contiguous.
        k: neighbours to return.
        available: rows that could be found at all, at least 1.
        find: proposes candidates.
    """
    wanted = min(k + SPARE, available)
    limit = min(max(_MOST_CANDIDATES, wanted), available)
    answer, tied = _ranked(vectors, queries, k, find(queries, wanted))
    while wanted < limit and len(tied):
        wanted = min(wanted * _GROWTH, limit)
        again, still = _ranked(vectors, queries[tied], k, find(queries[tied], wanted))
        answer.rows[tied], answer.scores[tied] = again.rows, again.scores
        tied = tied[still]
    return answer


def _ranked(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int, candidates: NDArray[np.int64]
) -> tuple[Neighbours, NDArray[np.int64]]:
    """Returns the best k of the candidates, and the lines whose k-th ties with their last candidate."""
    lines = np.arange(len(queries))[:, None]
    falling = -score_rows(vectors, queries, candidates)
    order = np.lexsort((candidates, falling))
    rows, ordered = candidates[lines, order], falling[lines, order]
    if (found := candidates.shape[1]) <= k:
        answer = no_neighbours(len(queries), k)
        answer.rows[:, :found], answer.scores[:, :found] = rows, -ordered
        return answer, _NO_LINES
    tied = ordered[:, k - 1] == ordered[:, -1]
    lines_tied = np.flatnonzero(tied & (rows[:, -1] >= 0)) if tied.any() else _NO_LINES
    return Neighbours(np.ascontiguousarray(rows[:, :k]), -ordered[:, :k]), lines_tied
