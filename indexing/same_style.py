"""Where "the same style" begins: a threshold on the cosine, calibrated on the catalogue's style groups.

Only styles that the towers were trained on decide (``catalog.held_out``): the others stay free for
measuring, and what the threshold gives on them is written beside it. Each product is compared with its
nearest neighbours, as a shopper sees them, so that the many pairs that are far apart cannot flatter the
precision. Products without a style group tell nothing and are left out.

The rule is the one that the experiments measured (``benchmarks.experiments.measures.same_style``): the lowest
threshold that reaches the wanted precision; where none does, the most precise one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from catalog.held_out import is_held_out
from catalog.schema import Product
from evaluation.duplicates import Curve, precision_recall_curve, threshold_for
from evaluation.exact import exact_search
from releases.manifest import SameStylePart, ViewName

__all__ = ["PRECISION", "calibrated", "calibrated_views"]

PRECISION = 0.8
"""Of five products shown as the same style, four are."""
_NEIGHBOURS = 100
_MOST_ASKED = 2000
"""Products that are compared with all others; drawn at random where there are more."""

Floats = npt.NDArray[np.float32]


def calibrated(vectors: Floats, products: Sequence[Product], seed: int = 0) -> SameStylePart | None:
    """Returns the threshold and what it is worth; None where no two training products share a style.

    Args:
        vectors: float32[N,dim], L2-normalised; a row of zeros is a product without this view.
        products: N products.
        seed: of the products that are drawn.
    """
    grouped = np.array([bool(product.style_group) for product in products]) & vectors.any(axis=1)
    held_out = np.array([is_held_out(product.style_group) for product in products])
    groups = np.unique([product.style_group for product in products], return_inverse=True)[1]
    pairs = _pairs(vectors, groups, np.flatnonzero(grouped & ~held_out), seed)
    if not pairs[1].any():
        return None
    curve = precision_recall_curve(*pairs)
    point = threshold_for(curve, PRECISION)
    threshold = float(curve.thresholds[np.argmax(curve.precision)]) if point is None else point.threshold
    precision, recall = _at(curve, threshold)
    others = _pairs(vectors, groups, np.flatnonzero(grouped & held_out), seed)
    elsewhere = _at(precision_recall_curve(*others), threshold) if others[1].any() else None
    return SameStylePart(
        threshold=threshold,
        wanted_precision=PRECISION,
        precision=precision,
        recall=recall,
        pairs=int(pairs[1].sum()),
        held_out_precision=None if elsewhere is None else elsewhere[0],
        held_out_recall=None if elsewhere is None else elsewhere[1],
    )


def calibrated_views(
    views: Mapping[ViewName, Floats], products: Sequence[Product]
) -> dict[ViewName, SameStylePart]:
    """Returns the threshold of each view that has one; see ``calibrated``."""
    found = {name: calibrated(vectors, products) for name, vectors in views.items()}
    return {name: part for name, part in found.items() if part is not None}


def _pairs(
    vectors: Floats, groups: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], seed: int
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Returns float32[P] cosines of neighbours among ``rows``, and bool[P], whether they share a style."""
    if len(rows) < 2:
        return np.zeros(0, np.float32), np.zeros(0, np.bool_)
    asked = np.arange(len(rows))
    if len(rows) > _MOST_ASKED:
        asked = np.sort(np.random.default_rng(seed).choice(len(rows), _MOST_ASKED, replace=False))
    corpus = vectors[rows]
    found, scores = exact_search(corpus, corpus[asked], _NEIGHBOURS + 1)
    other = found != asked[:, None]
    same = groups[rows[found]] == groups[rows[asked]][:, None]
    return scores[other], same[other]


def _at(curve: Curve, threshold: float) -> tuple[float, float]:
    """Returns precision and recall of a threshold; a precision of 1 where no pair reaches it."""
    place = int(np.count_nonzero(curve.thresholds >= threshold)) - 1
    return (1.0, 0.0) if place < 0 else (float(curve.precision[place]), float(curve.recall[place]))
