"""Candidates by looking at every allowed vector: exact, and cheap when few are allowed.

One row after the other, without a gathered copy or a threaded matrix product: on 4,000 rows of 256
numbers that took an eightieth of the time while other processes kept the cores busy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.index.ranking import score_rows

__all__ = ["scan_rows"]


def scan_rows(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], wanted: int, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the ``wanted`` best of ``rows`` for each query, in no particular order.

    Args:
        vectors: float32 [N, dim], C-contiguous, may be memory-mapped.
        queries: float32 [B, dim], C-contiguous.
        wanted: at most ``len(rows)``.
        rows: int64 [m].

    Returns:
        int64 [B, wanted].
    """
    best = np.empty((len(queries), wanted), np.int64)
    for line in range(len(queries)):
        scores = score_rows(vectors, queries[line : line + 1], rows[None])[0]
        best[line] = rows[np.argpartition(-scores, wanted - 1)[:wanted]]
    return best
