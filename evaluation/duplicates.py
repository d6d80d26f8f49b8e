"""Telling duplicates by a threshold on the cosine: the curve, and the threshold for a wanted precision.

Rows D2 and D3 of the experiments, and the same-style threshold of a release. Calibrate on one set of
groups and measure on another: a threshold fits the pairs that it was chosen on best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["Curve", "OperatingPoint", "duplicate_pairs", "precision_recall_curve", "threshold_for"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall of "a cosine of at least t means the same", for falling thresholds t.

    All three are float64[T], one entry for each distinct cosine among the pairs.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def precision_at_recall(self, recall: float) -> float:
        """Returns the best precision among the thresholds that reach ``recall``."""
        return float(self.precision[self.recall >= recall].max(initial=0.0))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold, and what it gives on the pairs that it was chosen on."""

    threshold: float
    precision: float
    recall: float


def duplicate_pairs(
    vectors: NDArray[np.float32],
    groups: Sequence[str] | NDArray[np.generic],
    scopes: Sequence[str] | NDArray[np.generic] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores every unordered pair of products once.

    Args:
        vectors: float[N,dim], L2-normalised. All pairs are held in memory: some thousands a scope.
        groups: N labels; a pair of equal ones is the same product. An empty label equals nothing.
        scopes: N labels (suppliers, categories); only pairs within an equal one count. All if absent.

    Returns:
        float32[P] cosines and bool[P], whether the two are the same.
    """
    labels = np.asarray(groups).astype(str)
    places = np.zeros(len(labels), np.int64)
    if scopes is not None:
        places = np.unique(np.asarray(scopes).astype(str), return_inverse=True)[1]
    scores, same = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        one, other = np.triu_indices(len(rows), k=1)
        scores.append((vectors[rows] @ vectors[rows].T)[one, other])
        same.append((labels[rows[one]] == labels[rows[other]]) & (labels[rows[one]] != ""))
    return np.concatenate(scores), np.concatenate(same)


def precision_recall_curve(scores: NDArray[np.floating], same: NDArray[np.bool_]) -> Curve:
    """Returns the curve over all thresholds; pairs with equal scores pass together.

    Args:
        scores: float[P].
        same: bool[P].

    Raises:
        faults.InvalidInput: lengths that differ, or no pair that is the same.
    """
    if len(scores) != len(same) or not same.any():
        raise faults.InvalidInput(
            "a curve needs a label for each score, and a pair that is the same",
            field="same",
            value=f"{len(scores)} scores, {int(same.sum())} of {len(same)} the same",
            fix="Give pairs of which some are duplicates.",
        )
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    right = np.cumsum(same[order])[last]
    return Curve(ranked[last], right / (last + 1.0), right / float(same.sum()))


def threshold_for(curve: Curve, precision: float) -> OperatingPoint | None:
    """Returns the threshold of largest recall whose precision is at least ``precision``; None if none is."""
    good = np.flatnonzero(curve.precision >= precision)
    if not len(good):
        return None
    last = int(good[-1])  # recall only grows
    return OperatingPoint(
        float(curve.thresholds[last]), float(curve.precision[last]), float(curve.recall[last])
    )
