"""Small rankings for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval_gateway.channels.types import Merged, Ranking


def ranking_of(rows: Sequence[int], scores: Sequence[float] | None = None) -> Ranking:
    """Rows with scores, which fall from 1 by hundredths where none are given."""
    given = [1 - place / 100 for place in range(len(rows))] if scores is None else scores
    return Ranking(np.array(rows, np.int64), np.array(given, np.float32))


def merged_of(rows: Sequence[int], scores: Sequence[float] | None = None) -> Merged:
    """What the dense channel alone found."""
    found = ranking_of(rows, scores)
    n = len(found.rows)
    zeros = np.zeros(n, np.int32)
    return Merged(
        rows=found.rows,
        scores=found.scores,
        dense=np.ones(n, np.bool_),
        only=np.ones(n, np.bool_),
        dense_rank=np.arange(1, n + 1, dtype=np.int32),
        dense_score=found.scores,
        lexical_rank=zeros,
        lexical_score=zeros.astype(np.float32),
    )
