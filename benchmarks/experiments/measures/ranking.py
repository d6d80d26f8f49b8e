"""Recall, nDCG and mean grade query by query: what the paired bootstrap needs, and a mean hides.

``evaluation.evaluate_run`` gives means; a test holds these against it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best", "graded_gain", "mean_grade", "recall"]

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def best(queries: npt.NDArray[np.float32], products: npt.NDArray[np.float32], k: int) -> Rows:
    """The k products of largest inner product, best first; equal ones in the catalogue's order.

    Args:
        queries: float32[Q,dim].
        products: float32[N,dim].
        k: how many; all where there are fewer.

    Returns:
        int64[Q, min(k, N)].
    """
    order: Rows = np.argsort(-(queries @ products.T), axis=1, kind="stable")[:, :k]
    return order


def recall(ranked: Rows, relevant: npt.NDArray[np.bool_], k: int) -> Values:
    """Share of the relevant products among the first k, of what a list of k can hold.

    Args:
        ranked: int64[Q, at least min(k, N)].
        relevant: bool[Q,N].
        k: depth.

    Returns:
        float64[Q]; NaN for a query without a relevant product.
    """
    found = np.take_along_axis(relevant, ranked[:, :k], axis=1).sum(axis=1)
    possible = np.minimum(relevant.sum(axis=1), k).astype(np.float64)
    possible[possible == 0] = np.nan
    shares: Values = found / possible
    return shares


def graded_gain(ranked: Rows, grades: Rows, k: int = 10) -> Values:
    """nDCG@k with the gain 2^grade - 1.

    Args:
        ranked: int64[Q, at least min(k, N)].
        grades: int64[Q,N].
        k: depth.

    Returns:
        float64[Q]; NaN for a query without a graded product.
    """
    gains = 2.0**grades - 1
    depth = min(k, grades.shape[1])
    discount = 1 / np.log2(np.arange(2, depth + 2))
    got = (np.take_along_axis(gains, ranked[:, :depth], axis=1) * discount).sum(axis=1)
    ideal = (-np.sort(-gains, axis=1)[:, :depth] * discount).sum(axis=1)
    ideal[ideal == 0] = np.nan
    shares: Values = got / ideal
    return shares


def mean_grade(ranked: Rows, grades: Rows, k: int = 10) -> Values:
    """The mean grade of the first k, as a share of the best grade: relevance as an oracle sees it."""
    shares: Values = np.take_along_axis(grades, ranked[:, :k], axis=1).mean(axis=1) / 2.0
    return shares
