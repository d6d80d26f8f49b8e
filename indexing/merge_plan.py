"""How a release merges its channels: the plan that answers queries of its own training products best.

One thing speaks against taking the plan of the highest nDCG. The towers have learnt these very products and
full text has not, so the dense channel looks better here than on products that are new. Therefore, of the
weights that the queries cannot tell from the best (their loss, paired query by query, is within one
standard error: the rule of Breiman et al., "Classification and Regression Trees", 1984), the plan takes the
one that trusts full text most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.exact import exact_search
from indexing.tuning_queries import LEAST_QUERIES, TuningQueries
from releases.manifest import MergePart
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.merging import DEFAULT_PLAN, MergeMethod, MergePlan, merge
from retrieval_gateway.channels.types import Ranking

__all__ = ["choose_plan"]

_METHODS: tuple[MergeMethod, ...] = ("weighted_scores", "reciprocal_rank")
_LEXICAL_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.4, 2.0)
_CANDIDATES = 128
"""Hits of each channel: as deep as a gateway asks for a first page."""
_K = 10

_Scores = NDArray[np.float64]


@dataclass(frozen=True)
class _Pair:
    """What both channels found for one query, and what was right."""

    dense: Ranking
    lexical: Ranking
    relevant: frozenset[int]

    def ndcg(self, plan: MergePlan) -> float:
        """nDCG@10 of the merged ranking."""
        return _ndcg(merge(self.dense, self.lexical, plan, _K).rows, self.relevant)


def choose_plan(queries: TuningQueries, vectors: NDArray[np.float32], lexical: LexicalIndex) -> MergePart:
    """Chooses method and weights by nDCG@10, and says what it was.

    Args:
        queries: with their vectors.
        vectors: float32[N,dim] of all products.
        lexical: over the same products.
    """
    if len(queries.texts) < LEAST_QUERIES:
        why = f"default: training products gave {len(queries.texts)} of at least {LEAST_QUERIES} queries"
        return _part(DEFAULT_PLAN, why, {})
    pairs = _pairs(queries, vectors, lexical)
    measured = {
        method: np.array(
            [[pair.ndcg(MergePlan(method, 1.0, weight)) for pair in pairs] for weight in _LEXICAL_WEIGHTS]
        )
        for method in _METHODS
    }
    method = max(_METHODS, key=lambda name: measured[name].mean(axis=1).max())
    place = _heaviest_of_the_best(measured[method])
    alone = [_ndcg(pair.lexical.rows[:_K], pair.relevant) for pair in pairs]
    figures = {
        "queries": float(len(pairs)),
        "ndcg_at_10_dense": float(measured[method][0].mean()),
        "ndcg_at_10_lexical": float(np.mean(alone)),
        "ndcg_at_10_merged": float(measured[method][place].mean()),
        "ndcg_at_10_best": float(measured[method].mean(axis=1).max()),
    }
    plan = MergePlan(method, 1.0, _LEXICAL_WEIGHTS[place])
    return _part(plan, f"simulated queries of {len(queries.rows)} training products", figures)


def _part(plan: MergePlan, chosen_by: str, figures: dict[str, float]) -> MergePart:
    return MergePart(
        method=plan.method,
        dense_weight=plan.dense_weight,
        lexical_weight=plan.lexical_weight,
        chosen_by=chosen_by,
        figures=figures,
    )


def _pairs(queries: TuningQueries, vectors: NDArray[np.float32], lexical: LexicalIndex) -> list[_Pair]:
    allowed = np.zeros(len(vectors), np.bool_)
    allowed[queries.rows] = True
    places, scores = exact_search(vectors[queries.rows], queries.vectors, min(_CANDIDATES, len(queries.rows)))
    return [
        _Pair(Ranking(queries.rows[place], score), lexical.search(text, _CANDIDATES, allowed), relevant)
        for text, relevant, place, score in zip(queries.texts, queries.relevant, places, scores, strict=True)
    ]


def _heaviest_of_the_best(measured: _Scores) -> int:
    """Returns the last weight whose loss against the best one is within a standard error.

    Args:
        measured: float64[W,Q], nDCG by weight and query.
    """
    losses = measured[measured.mean(axis=1).argmax()] - measured
    errors = losses.std(axis=1, ddof=1) / np.sqrt(measured.shape[1])
    return int(np.flatnonzero(losses.mean(axis=1) <= errors)[-1])


def _ndcg(rows: NDArray[np.int64], relevant: frozenset[int]) -> float:
    """nDCG@10 with a gain of 1 for each relevant row."""
    discounts = 1 / np.log2(np.arange(2, _K + 2))
    gains = [discount for row, discount in zip(rows.tolist(), discounts, strict=False) if row in relevant]
    return float(sum(gains) / discounts[: len(relevant)].sum())
