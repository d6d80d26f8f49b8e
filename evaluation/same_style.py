"""How well a product finds its own kind: hits of the same group, within one view and across views.

The measures of same-style search (rows D1, D4, D6 and D8 of the experiments). A candidate that ties
with the best right one counts as ranked before it: a model that maps all products to one point must
score 0, not 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["Found", "Vectors", "cross_view_matrix", "found_by_group", "found_by_score"]

_TIE_TOLERANCE = 1e-6
"""Below the noise of a float32 inner product of unit vectors."""
_QUERY_BLOCK = 512

Vectors = NDArray[np.float32]
Labels = Sequence[str] | NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """How early the first right candidate stands.

    Args:
        ranks: int64[queries], from 1, in the order of the queries that have a right candidate at all;
            kept whole, so that two models can be compared query by query.
        k: depth of ``within_k``.
    """

    ranks: NDArray[np.int64]
    k: int

    @property
    def queries(self) -> int:
        """How many queries have a right candidate."""
        return len(self.ranks)

    @property
    def first(self) -> float:
        """Share of the queries whose best candidate is right (R@1); NaN without queries."""
        return self._mean(self.ranks == 1)

    @property
    def within_k(self) -> float:
        """Share of the queries with a right one among the best k; NaN without queries."""
        return self._mean(self.ranks <= self.k)

    @property
    def reciprocal_rank(self) -> float:
        """Mean of 1 / rank over the whole list (MRR); NaN without queries."""
        return self._mean(1.0 / self.ranks)

    def to_json(self) -> dict[str, float | int]:
        """Returns the figures under the names that reports use."""
        return {
            "recall_at_1": self.first,
            f"recall_at_{self.k}": self.within_k,
            "mrr": self.reciprocal_rank,
            "queries": self.queries,
        }

    def _mean(self, values: NDArray[np.generic]) -> float:
        return float(values.mean()) if len(values) else float("nan")


def found_by_score(
    scores: NDArray[np.floating],
    right: NDArray[np.bool_],
    hidden: NDArray[np.bool_] | None = None,
    k: int = 10,
) -> Found:
    """Measures a matrix of scores; queries without a right candidate are left out.

    Args:
        scores: float[Q,N], higher is better.
        right: bool[Q,N], the candidates that a query should find.
        hidden: bool[Q,N], candidates that it is not shown (itself, its own supplier); none if absent.
        k: depth of ``within_k``.

    Raises:
        faults.InvalidInput: the shapes differ, or k is below 1.
    """
    return Found(_ranks(scores, right, hidden), _checked(k))


def found_by_group(
    queries: Vectors,
    corpus: Vectors,
    query_groups: Labels,
    corpus_groups: Labels,
    *,
    own: NDArray[np.integer] | None = None,
    query_suppliers: Labels | None = None,
    corpus_suppliers: Labels | None = None,
    k: int = 10,
) -> Found:
    """Measures how each query finds candidates of its own group.

    Args:
        queries: float[Q,dim], L2-normalised.
        corpus: float[N,dim], L2-normalised.
        query_groups: Q labels (style groups, versions); an empty one is right nowhere.
        corpus_groups: N labels.
        own: int[Q], the row of each query's product in the corpus, which it is not shown; -1 where
            it is not in there.
        query_suppliers: Q labels; with ``corpus_suppliers``, candidates of the same supplier are
            hidden as well (an empty label is nobody's).
        corpus_suppliers: N labels.
        k: depth of ``within_k``.

    Raises:
        faults.InvalidInput: lengths that do not belong together, or k below 1.
    """
    _check_lengths(queries, query_groups, query_suppliers, own)
    _check_lengths(corpus, corpus_groups, corpus_suppliers, None)
    asked, offered = np.asarray(query_groups).astype(str), np.asarray(corpus_groups).astype(str)
    ranks = [np.zeros(0, np.int64)]
    for start in range(0, len(queries), _QUERY_BLOCK):
        part = slice(start, start + _QUERY_BLOCK)
        right = (asked[part, None] == offered) & (offered != "")
        hidden = np.zeros(right.shape, np.bool_)
        if own is not None:
            hidden |= own[part, None] == np.arange(len(corpus))
        if query_suppliers is not None and corpus_suppliers is not None:
            theirs = np.asarray(corpus_suppliers).astype(str)
            hidden |= (np.asarray(query_suppliers).astype(str)[part, None] == theirs) & (theirs != "")
        ranks.append(_ranks(queries[part] @ corpus.T, right, hidden))
    return Found(np.concatenate(ranks), _checked(k))


def cross_view_matrix(
    views: Mapping[str, Vectors],
    groups: Labels,
    *,
    present: Mapping[str, NDArray[np.bool_]] | None = None,
    suppliers: Labels | None = None,
    k: int = 10,
) -> dict[tuple[str, str], Found]:
    """Measures every view as query against every view as corpus, a product never against itself.

    With the views i, t and m (picture, words, both) these are the nine cells of the same-style table.

    Args:
        views: by name, float[N,dim] of the same N products, L2-normalised.
        groups: N labels.
        present: by view, bool[N]: the products that have it, as a query and as a candidate; a view
            that is not named is there for all.
        suppliers: N labels; if given, candidates of a query's own supplier are hidden.
        k: depth of ``within_k``.

    Returns:
        The figures by (query view, corpus view), in the order of ``views``.
    """
    cells = {}
    for asking, offered in product(views, views):
        rows = [_rows(view, len(views[view]), present) for view in (asking, offered)]
        labels = [np.asarray(groups)[part] for part in rows]
        sellers = [None if suppliers is None else np.asarray(suppliers)[part] for part in rows]
        place = np.full(len(views[offered]), -1)
        place[rows[1]] = np.arange(len(rows[1]))
        cells[asking, offered] = found_by_group(
            views[asking][rows[0]],
            views[offered][rows[1]],
            labels[0],
            labels[1],
            own=place[rows[0]],
            query_suppliers=sellers[0],
            corpus_suppliers=sellers[1],
            k=k,
        )
    return cells


def _ranks(
    scores: NDArray[np.floating], right: NDArray[np.bool_], hidden: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Returns int64[queries with a right candidate]: the rank of the best right one, from 1."""
    if scores.shape != right.shape or (hidden is not None and hidden.shape != scores.shape):
        raise faults.InvalidInput(
            "scores, right and hidden must have one shape",
            field="right",
            value=(scores.shape, right.shape),
            fix="Give a row a query and a column a candidate in each.",
        )
    shown = np.ones_like(right) if hidden is None else ~hidden
    right = right & shown
    asked = right.any(axis=1)
    scores, right, shown = scores[asked], right[asked], shown[asked]
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    before = shown & ~right & (scores >= best - _TIE_TOLERANCE)
    ranks: NDArray[np.int64] = 1 + before.sum(axis=1)
    return ranks


def _rows(view: str, count: int, present: Mapping[str, NDArray[np.bool_]] | None) -> NDArray[np.int64]:
    return np.arange(count) if present is None or view not in present else np.flatnonzero(present[view])


def _checked(k: int) -> int:
    if k < 1:
        raise faults.InvalidInput(
            "at least one candidate must be looked at", field="k", value=k, fix="k >= 1."
        )
    return k


def _check_lengths(
    vectors: Vectors, groups: Labels, suppliers: Labels | None, own: NDArray[np.integer] | None
) -> None:
    for name, part in (("groups", groups), ("suppliers", suppliers), ("own", own)):
        if part is not None and len(part) != len(vectors):
            raise faults.InvalidInput(
                "one entry a vector is needed",
                field=name,
                value=f"{len(part)} for {len(vectors)} vectors",
                fix="Give the labels in the order of the vectors.",
            )
