"""How well one number follows another: Spearman's rank correlation, and the area under the ROC curve.

Ties get the mean of their ranks, as in every textbook; both are a few lines, so that measuring them
needs no further package. For their intervals give them to ``evaluation.bootstrap``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["auc", "ranks", "spearman"]


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks of float[n], from 1; equal values share the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: NDArray[np.float64] = (last - (counts - 1) / 2.0)[group]
    return shared


def spearman(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Spearman's rank correlation of float[n] and float[n]; NaN where either is constant."""
    one, other = ranks(first), ranks(second)
    one, other = one - one.mean(), other - other.mean()
    length = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / length) if length > 0 else float("nan")


def auc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, a tie counting half; NaN without either.

    The area under the ROC curve, by way of the Mann-Whitney statistic.

    Args:
        scores: float[n].
        positive: bool[n].
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    above = float(ranks(scores)[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)
