"""Graded retrieval quality of a run: nDCG@10, R@100 and RR@10, in all and by query kind.

The measures come from ``ir-measures`` rather than from our own formulas, so that they
agree with what the field publishes. What is ours is the part that is easy to get
quietly wrong: which queries are averaged over, what a missing answer counts, and in
which order tied hits stand.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import faults

__all__ = ["Report", "Scores", "evaluate_run"]

_RECALL_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over ``queries`` queries; each measure lies in [0, 1]."""

    ndcg_at_10: float
    recall_at_100: float
    rr_at_10: float
    queries: int

    def to_json(self) -> dict[str, Any]:
        """Returns the four numbers under the names that every report of ours uses."""
        return {
            "ndcg_at_10": self.ndcg_at_10,
            "recall_at_100": self.recall_at_100,
            "rr_at_10": self.rr_at_10,
            "queries": self.queries,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The measures over all counted queries, and the same by query kind."""

    overall: Scores
    by_kind: Mapping[str, Scores]

    def to_json(self) -> dict[str, Any]:
        """Returns ``{"ndcg_at_10": …, …, "queries": n, "by_kind": {kind: {same keys}}}``."""
        return {
            **self.overall.to_json(),
            "by_kind": {kind: self.by_kind[kind].to_json() for kind in sorted(self.by_kind)},
        }


def evaluate_run(
    run: Mapping[str, Sequence[tuple[str, float]]],
    queries: Sequence[tuple[str, str]],
    judgements: Sequence[tuple[str, str, int]],
    corpus: AbstractSet[str],
) -> Report:
    """Measures a run against graded judgements.

    Judgements of products outside ``corpus`` are dropped first; then only queries with a
    relevant product (grade of 1 or more) left are averaged. Such a query without hits in
    the run counts 0: it never vanishes from the mean. Hits are ranked by falling score,
    and tied hits keep the order in which they were returned, because that is the order
    which the shopper saw.

    nDCG@10 takes the gain ``2^grade - 1``. R@100 counts any grade and divides by
    ``min(100, relevant)``, so that a query with more than 100 relevant products can reach 1.

    Args:
        run: query id -> hits as (product id, score). Queries that are not in ``queries`` are ignored.
        queries: (query id, kind) of every query that was asked.
        judgements: (query id, product id, grade >= 0).
        corpus: ids of the products that could be found.

    Raises:
        faults.InvalidInput: a duplicate query, judgement or hit, a negative grade, a score that
            is not a number, or no query at all with a relevant product in the corpus.
        faults.NotFound: the ``ir-measures`` package is not installed.
    """
    kinds = _kinds(queries)
    grades = _grades_in_corpus(judgements, kinds, corpus)
    counted = [query for query in kinds if query in grades]
    if not counted:
        raise faults.InvalidInput(
            "no query has a relevant product in the corpus, so there is nothing to average",
            field="judgements",
            value=f"{len(queries)} queries, {len(judgements)} judgements, {len(corpus)} products",
            fix="evaluate with queries and judgements that belong to this catalogue.",
        )
    ranked = {query: _ranked(query, run.get(query, ())) for query in counted}
    values = _per_query(grades, ranked)
    groups: dict[str, list[str]] = defaultdict(list)
    for query in counted:
        groups[kinds[query]].append(query)
    return Report(_mean(values, counted), {kind: _mean(values, ids) for kind, ids in groups.items()})


def _kinds(queries: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Returns query id -> kind, refusing duplicates (they would weigh twice)."""
    kinds: dict[str, str] = {}
    for query_id, kind in queries:
        if query_id in kinds:
            raise faults.InvalidInput(
                "the same query id stands twice", field="queries", value=query_id, fix="name each query once."
            )
        kinds[query_id] = kind
    return kinds


def _grades_in_corpus(
    judgements: Iterable[tuple[str, str, int]], kinds: Mapping[str, str], corpus: AbstractSet[str]
) -> dict[str, dict[str, int]]:
    """Returns query -> product -> grade for the asked queries with something relevant in the corpus."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for query_id, product_id, grade in judgements:
        if grade < 0:
            raise faults.InvalidInput(
                f"the grade of query {query_id!r} and product {product_id!r} is negative",
                field="judgements",
                value=grade,
                fix="grade 0 means not relevant; use 0 or more.",
            )
        if query_id not in kinds or product_id not in corpus:
            continue
        if product_id in grades[query_id]:
            raise faults.InvalidInput(
                "a product is judged twice for the same query",
                field="judgements",
                value=(query_id, product_id),
                fix="keep one grade for each query and product.",
            )
        grades[query_id][product_id] = grade
    return {query: found for query, found in grades.items() if any(found.values())}


def _ranked(query_id: str, hits: Sequence[tuple[str, float]]) -> list[str]:
    """Returns product ids by falling score; ``sorted`` is stable, so ties keep their order."""
    if any(math.isnan(score) for _, score in hits):
        raise faults.InvalidInput(
            f"a hit of query {query_id!r} has a score that is not a number",
            field="run",
            fix="look for NaN in the embeddings: cosine_tails names the rows.",
        )
    products = [product for product, _ in sorted(hits, key=lambda hit: -hit[1])]
    if len(set(products)) != len(products):
        raise faults.InvalidInput(
            f"query {query_id!r} returned the same product twice",
            field="run",
            value=next(product for product in products if products.count(product) > 1),
            fix="merge channels before measuring: a duplicate would count twice.",
        )
    return products


def _per_query(
    grades: Mapping[str, Mapping[str, int]], ranked: Mapping[str, Sequence[str]]
) -> dict[str, tuple[float, float, float]]:
    """Returns query -> (nDCG@10, R@100, RR@10)."""
    ir = _ir_measures()
    # The gain table is spelled out: ir-measures' own exponential option does not run on its default engine.
    seen = {grade for found in grades.values() for grade in found.values() if grade > 0}
    ndcg = ir.nDCG(gains={grade: 2**grade - 1 for grade in sorted(seen)}) @ 10
    recall, reciprocal = ir.R @ _RECALL_DEPTH, ir.RR @ 10
    qrels = [ir.Qrel(q, p, grade) for q, found in grades.items() for p, grade in found.items()]
    # Places, not scores: the engines break ties by document id, the shopper saw ours.
    docs = [ir.ScoredDoc(q, p, -float(place)) for q, ps in ranked.items() for place, p in enumerate(ps)]
    measured: dict[tuple[str, Any], float] = {
        (metric.query_id, metric.measure): float(metric.value)
        for metric in ir.iter_calc([ndcg, recall, reciprocal], qrels, docs)
    }
    return {
        query: (
            measured.get((query, ndcg), 0.0),
            _capped(measured.get((query, recall), 0.0), found),
            measured.get((query, reciprocal), 0.0),
        )
        for query, found in grades.items()
    }


def _capped(recall: float, grades: Mapping[str, int]) -> float:
    """Returns recall divided by what a list of 100 could reach at best."""
    relevant = sum(grade > 0 for grade in grades.values())
    return recall * relevant / min(_RECALL_DEPTH, relevant)


def _mean(values: Mapping[str, tuple[float, float, float]], queries: Sequence[str]) -> Scores:
    count = len(queries)
    ndcg, recall, reciprocal = (sum(values[query][i] for query in queries) / count for i in range(3))
    return Scores(ndcg, recall, reciprocal, count)


def _ir_measures() -> ModuleType:
    """Imports ir-measures only when something is measured: a serving image goes without it."""
    try:
        import ir_measures
    except ModuleNotFoundError as error:
        raise faults.NotFound(
            "measuring needs a package that is not installed",
            field="ir_measures",
            fix="pip install 'vitrine[train]'",
        ) from error
    module: ModuleType = ir_measures
    return module
