"""A ranking of similar products, split in two: the same style, and similar.

The threshold belongs to the release: it is calibrated on the style groups that its towers were trained on
(``indexing.same_style``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval_gateway.channels.types import Ranking

__all__ = ["Sections", "by_score", "split"]


@dataclass(frozen=True, slots=True)
class Sections:
    """Both sections, each best first and at most k long."""

    same_style: Ranking
    similar: Ranking


def split(ranking: Ranking, threshold: float | None, k: int) -> Sections:
    """Splits where the scores fall below the threshold; without one everything is similar.

    Args:
        ranking: best first.
        threshold: least score of the same style.
        k: most products of either section.
    """
    count = len(ranking.rows)
    upper = 0 if threshold is None else int(np.count_nonzero(ranking.scores >= np.float32(threshold)))
    return Sections(_part(ranking, 0, min(upper, k)), _part(ranking, upper, min(upper + k, count)))


def by_score(ranking: Ranking) -> Ranking:
    """Sorts by falling score, and equal scores by rising row, so that an answer can be repeated."""
    order = np.lexsort((ranking.rows, -ranking.scores))
    return Ranking(ranking.rows[order], ranking.scores[order])


def _part(ranking: Ranking, start: int, end: int) -> Ranking:
    return Ranking(ranking.rows[start:end], ranking.scores[start:end])
