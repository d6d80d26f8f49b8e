"""Products to products: the nine cells of picture, words and both, duplicates, and the two tabs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.subject import Subject
from evaluation.duplicates import Curve, duplicate_pairs, precision_recall_curve, threshold_for

__all__ = ["VIEWS", "cells", "duplicates", "first_right", "tabs"]

VIEWS = ("i", "t", "m")
"""Picture, words, both; arrays hold the place in this tuple."""
_RECALL = 0.8
_PRECISION = 0.8
_TAB_LENGTH = 20
_CURVE_POINTS = 41

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def cells(subject: Subject) -> Findings:
    """Every view as query against every view as corpus, for the same product of another supplier.

    A query is not shown itself nor what its own supplier sells.

    Returns, with the Q products that have words, a picture and such a counterpart: ``first`` and ``tenth``
    float[3,3,Q], whether the best, or one of the best ten, is right, by query view and corpus view;
    ``chance`` float[Q], what drawing at random would give for ``first``; ``decides`` int[Q];
    ``overlap`` float[2,Q], the share of the ten nearest by both modalities that picture alone and words
    alone find too.
    """
    rows, views = _whole_products(subject)
    offers = [subject.shop.offers[row] for row in rows]
    version = _labels([str(offer.version) for offer in offers])
    supplier = _labels([offer.supplier for offer in offers])
    hidden = supplier[:, None] == supplier
    right = (version[:, None] == version) & ~hidden
    asked = np.flatnonzero(right.any(axis=1))
    first = np.zeros((3, 3, len(asked)))
    tenth = np.zeros_like(first)
    for asking, vectors in enumerate(views):
        for offered, corpus in enumerate(views):
            rank = first_right(vectors[asked] @ corpus.T, right[asked], hidden[asked])
            first[asking, offered], tenth[asking, offered] = rank == 1, rank <= 10
    decides = np.array(
        [("image", "text", "both").index(offers[row].style.article.decides.value) for row in asked]
    )
    return {
        "first": first,
        "tenth": tenth,
        "chance": right[asked].sum(axis=1) / (~hidden[asked]).sum(axis=1),
        "decides": decides,
        "overlap": np.stack([_overlap(views[place], views[2]) for place in (0, 1)])[:, asked],
    }


def first_right(scores: Floats, right: Flags, hidden: Flags) -> npt.NDArray[np.int64]:
    """Rank of the best right candidate of each query, from 1; what ties with it stands before it.

    Query by query what ``evaluation.same_style`` gives in the mean; a test holds the two together.

    Args:
        scores: float32[Q,N].
        right: bool[Q,N], at least one a query.
        hidden: bool[Q,N], what a query is not shown.
    """
    bar = np.where(right & ~hidden, scores, -np.inf).max(axis=1, keepdims=True)
    before = (scores >= bar - 1e-6) & ~hidden & ~right
    ranks: npt.NDArray[np.int64] = 1 + before.sum(axis=1)
    return ranks


def duplicates(subject: Subject) -> Findings:
    """One supplier's double listings, told by a threshold on the cosine.

    Returns, for the views i, t and m: ``precision`` float[3], the best at a recall of at least .8; and
    ``curve`` float[3,41], the best precision at each recall from 0 to 1.
    """
    rows, views = _whole_products(subject)
    offers = [subject.shop.offers[row] for row in rows]
    groups, scopes = [str(offer.version) for offer in offers], [offer.supplier for offer in offers]
    curves = [precision_recall_curve(*duplicate_pairs(vectors, groups, scopes)) for vectors in views]
    return {
        "precision": np.array([curve.precision_at_recall(_RECALL) for curve in curves]),
        "curve": np.stack([_drawn(curve) for curve in curves]),
    }


def tabs(subject: Subject) -> Findings:
    """The list of similar products, split in two by a threshold that was calibrated on other styles.

    The threshold is the lowest that gives a precision of .8 on the pairs of half of the styles; where none
    does, the most precise one.

    Returns, with the T products of the other half that have a counterpart and whose twenty nearest fall into
    both tabs: ``same`` and
    ``similar`` float[T], the share of either tab that is the same product; ``threshold``;
    ``split`` the share of products with both tabs.
    """
    rows, views = _whole_products(subject)
    offers = [subject.shop.offers[row] for row in rows]
    version = _labels([str(offer.version) for offer in offers])
    half = _labels([offer.style.group for offer in offers]) % 2 == 0
    vectors = views[2]
    curve = precision_recall_curve(*duplicate_pairs(vectors[half], version[half].astype(str)))
    point = threshold_for(curve, _PRECISION)
    threshold = float(curve.thresholds[np.argmax(curve.precision)]) if point is None else point.threshold
    asked = np.flatnonzero(~half)
    scores = vectors[asked] @ vectors.T
    scores[np.arange(len(asked)), asked] = -np.inf
    near = np.argsort(-scores, axis=1, kind="stable")[:, :_TAB_LENGTH]
    upper = np.take_along_axis(scores, near, axis=1) >= threshold
    right = version[near] == version[asked, None]
    has_counterpart = (version[asked, None] == version).sum(axis=1) > 1
    both = upper.any(axis=1) & ~upper.all(axis=1) & has_counterpart
    upper, right = upper[both], right[both]
    return {
        "same": (upper & right).sum(axis=1) / np.maximum(1, upper.sum(axis=1)),
        "similar": (~upper & right).sum(axis=1) / np.maximum(1, (~upper).sum(axis=1)),
        "threshold": np.array(threshold),
        "split": np.array(float(both.mean())),
    }


def _whole_products(subject: Subject) -> tuple[npt.NDArray[np.int64], tuple[Floats, Floats, Floats]]:
    """The products with words and a picture, and their three views."""
    rows = np.flatnonzero(subject.has_text & subject.pictures.has_image.any(axis=1))
    products = subject.products
    return rows, (products.image[rows], products.text[rows], products.fused[rows])


def _labels(names: list[str]) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return numbers


def _overlap(single: Floats, both: Floats) -> npt.NDArray[np.float64]:
    """Share of each product's ten nearest by both modalities that one modality finds among its ten."""
    lists = []
    for vectors in (single, both):
        scores = vectors @ both.T
        np.fill_diagonal(scores, -np.inf)
        lists.append(np.argsort(-scores, axis=1, kind="stable")[:, :10])
    return np.array([len(set(one) & set(other)) / len(other) for one, other in zip(*lists, strict=True)])


def _drawn(curve: Curve) -> npt.NDArray[np.float64]:
    return np.array([curve.precision_at_recall(recall) for recall in np.linspace(0, 1, _CURVE_POINTS)])
