"""Several channels' rankings become one. Pure functions of rankings: no index, no release.

Two methods. Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009) adds weight / (60 + rank)
and looks at no score. Weighted scores add weight times score, scaled so that the channels compare:

- dense: the cosine, as it is. A row that the channel did not find counts as the lowest that it found.
- lexical: the square of the score's share of its ceiling, which is what a product would have whose words
  are all of the query's and nobody else's. Scaling by the best score that was *found* would have full text
  outvote the embedding where no product has the query's words, or every product has them; squared, half of
  the words are worth a quarter. A row that was not found has 0.

So a score means the same whatever else was found, up to the floor for rows that the dense channel missed.
Ties go by rank, in the heavier channel first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import faults
from retrieval_gateway.channels.types import Merged, Ranking

__all__ = ["DEFAULT_PLAN", "MergeMethod", "MergePlan", "merge"]

MergeMethod = Literal["reciprocal_rank", "weighted_scores"]

_RANK_OFFSET = 60
"""Cormack et al.'s k: how little the first places stand out."""
_Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MergePlan:
    """How rankings are merged.

    Args:
        method: what is added up.
        dense_weight: of the dense channel, at least 0.
        lexical_weight: of the lexical channel, at least 0; not both may be 0.
        dense_quota: least number of places for hits that the dense channel found, where it found so many.
        lexical_quota: the same for the lexical channel.

    Raises:
        faults.InvalidInput: a weight or quota out of range; the field is named as in a request.
    """

    method: MergeMethod
    dense_weight: float
    lexical_weight: float
    dense_quota: int = 0
    lexical_quota: int = 0

    def __post_init__(self) -> None:
        for name in ("dense_weight", "lexical_weight", "dense_quota", "lexical_quota"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise faults.InvalidInput(
                    "must be a number of at least 0",
                    field=f"channels.{name}",
                    value=value,
                    fix="0 leaves the channel's opinion out.",
                )
        if self.dense_weight == self.lexical_weight == 0:
            raise faults.InvalidInput(
                "one channel at least needs a weight",
                field="channels.dense_weight",
                value=0,
                fix="leave the weights out to take the release's own.",
            )


DEFAULT_PLAN = MergePlan("weighted_scores", dense_weight=1.0, lexical_weight=0.6)
"""Of a release that chose none: what the training products of a real catalogue chose (docs/channels.md)."""


def merge(dense: Ranking | None, lexical: Ranking | None, plan: MergePlan, depth: int) -> Merged:
    """Merges the rankings of one query.

    Args:
        dense: None where the dense channel was not asked or failed.
        lexical: None where the lexical channel was not asked or failed.
        plan: how. It does not matter where there is one channel, which keeps its own scores.
        depth: most hits to return, at least 0; quotas are shares of these places. Quotas that cannot both
            be met leave the order as it is.

    Raises:
        faults.InternalError: no channel at all.
    """
    if dense is None or lexical is None:
        return _alone(dense, lexical, depth)
    rows, places = np.unique(np.concatenate((dense.rows, lexical.rows)), return_inverse=True)
    by_dense = _Found.of(dense, places[: len(dense.rows)], len(rows))
    by_lexical = _Found.of(lexical, places[len(dense.rows) :], len(rows))
    if plan.method == "reciprocal_rank":
        floor, parts = 0.0, (by_dense.by_rank(), by_lexical.by_rank())
    else:
        floor = float(dense.scores[-1]) if len(dense.scores) else 0.0
        parts = (by_dense.above(floor), by_lexical.share_of(lexical.ceiling) ** 2)
    parts = (plan.dense_weight * parts[0], plan.lexical_weight * parts[1])
    scores = plan.dense_weight * floor + parts[0] + parts[1]
    first, second = (
        (by_dense, by_lexical) if plan.dense_weight >= plan.lexical_weight else (by_lexical, by_dense)
    )
    order = np.lexsort((second.place, first.place, -scores))
    order = order[_within_quotas(by_dense.rank[order] > 0, by_lexical.rank[order] > 0, plan, depth)]
    both = (by_dense.rank > 0) & (by_lexical.rank > 0)
    return Merged(
        rows=rows,
        scores=scores.astype(np.float32),
        dense=np.where(both, parts[0] >= parts[1], by_dense.rank > 0),
        only=~both,
        dense_rank=by_dense.rank,
        dense_score=by_dense.score,
        lexical_rank=by_lexical.rank,
        lexical_score=by_lexical.score,
    ).take(order)


@dataclass(frozen=True, slots=True)
class _Found:
    """One channel's ranking over the rows of all channels together.

    Attributes:
        rank: int32[m], from 1; 0 where it did not find the row.
        score: float32[m], its own; 0 where it did not find the row.
    """

    rank: NDArray[np.int32]
    score: NDArray[np.float32]

    @classmethod
    def of(cls, ranking: Ranking, places: NDArray[np.intp], count: int) -> _Found:
        rank, score = np.zeros(count, np.int32), np.zeros(count, np.float32)
        rank[places] = np.arange(1, len(places) + 1)
        score[places] = ranking.scores
        return cls(rank, score)

    @property
    def place(self) -> NDArray[np.int32]:
        """The rank, where rows that were not found come last."""
        return np.where(self.rank > 0, self.rank, np.iinfo(np.int32).max)

    def by_rank(self) -> _Numbers:
        """Reciprocal ranks, float64[m]."""
        return np.where(self.rank > 0, 1.0 / (_RANK_OFFSET + self.rank), 0.0)

    def above(self, floor: float) -> _Numbers:
        """How far each score lies above a floor, float64[m]."""
        return np.where(self.rank > 0, self.score.astype(np.float64) - floor, 0.0)

    def share_of(self, ceiling: float | None) -> _Numbers:
        """Each score's share of the ceiling, or of the best score where none is known, float64[m]."""
        scores = self.score.astype(np.float64)
        highest = max(ceiling or 0.0, float(scores.max(initial=0.0)))
        return scores / highest if highest > 0 else scores


def _within_quotas(
    by_dense: NDArray[np.bool_], by_lexical: NDArray[np.bool_], plan: MergePlan, depth: int
) -> NDArray[np.int64]:
    """Returns which places of the merged order stay, at most ``depth`` of them, in that order.

    A quota for one channel is a bound for the hits that only the other one found.
    """
    kept = np.ones(len(by_dense), np.bool_)
    for mine, quota in ((by_dense, plan.dense_quota), (by_lexical, plan.lexical_quota)):
        others = ~mine
        room = max(0, depth - min(quota, int(mine.sum())))
        kept &= ~(others & (np.cumsum(others) > room))
    if kept.sum() < min(depth, len(kept)):
        kept[:] = True  # the two quotas do not go together
    return np.flatnonzero(kept)[:depth]


def _alone(dense: Ranking | None, lexical: Ranking | None, depth: int) -> Merged:
    """Returns one channel's ranking with its own scores."""
    ranking = dense if dense is not None else lexical
    if ranking is None:
        raise faults.InternalError("no channel answered, so there is nothing to merge", field="channels")
    rows, scores = ranking.rows[:depth], ranking.scores[:depth]
    ranks, nothing = np.arange(1, len(rows) + 1, dtype=np.int32), np.zeros(len(rows), np.int32)
    is_dense = dense is not None
    return Merged(
        rows=rows,
        scores=scores,
        dense=np.full(len(rows), is_dense),
        only=np.ones(len(rows), np.bool_),
        dense_rank=ranks if is_dense else nothing,
        dense_score=scores if is_dense else nothing.astype(np.float32),
        lexical_rank=nothing if is_dense else ranks,
        lexical_score=nothing.astype(np.float32) if is_dense else scores,
    )
