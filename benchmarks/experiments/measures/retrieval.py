"""Words to products: recall and gain of every query, the lists behind them, and the modality weights."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.ranking import best, graded_gain, mean_grade, recall
from benchmarks.experiments.measures.subject import FITS, Subject
from catalog.sample_shop.articles import Decides

__all__ = ["DECIDES", "by_product", "deciding", "query_facts", "retrieval", "weights"]

DECIDES = ("image", "text", "both")
"""Which modality tells a shopper that a product fits; arrays hold the place in this tuple."""
_BY_KIND = {
    **dict.fromkeys(("colour+category", "pattern+category", "colour+pattern+category", "shape+category"), 0),
    **dict.fromkeys(("specification", "brand+category", "style", "tag"), 1),
}
_DEEPEST = 100


def retrieval(subject: Subject) -> Findings:
    """Measures every evaluation query against the whole shop.

    Returns, with Q queries: ``r10``, ``r100`` and ``ndcg10``; ``r10_hidden``, which counts as relevant
    only what no word of the product tells (NaN where a query has none); ``rel10``, the mean grade of the
    first ten; ``top``, the rows of the first hundred; and what is known of the queries.
    """
    return {**query_facts(subject), **measured(subject, subject.query_vectors, subject.products.fused)}


def measured(
    subject: Subject, queries: npt.NDArray[np.float32], products: npt.NDArray[np.float32]
) -> Findings:
    """Measures query vectors against product vectors; see ``retrieval``."""
    top = best(queries, products, _DEEPEST)
    fits = subject.grades == FITS
    hidden = fits & ~revealed(subject)
    return {
        "r10": recall(top, fits, 10),
        "r100": recall(top, fits, 100),
        "r10_hidden": recall(top, hidden, 10),
        "ndcg10": graded_gain(top, subject.grades),
        "rel10": mean_grade(top, subject.grades),
        "top": top.astype(np.int32),
    }


def query_facts(subject: Subject) -> Findings:
    """What is known of the Q queries: their deciding modality and number of words."""
    queries = subject.shop.queries
    return {
        "deciding": deciding([query.kind for query in queries]),
        "words": np.array([len(query.query.split()) for query in queries]),
    }


def deciding(kinds: list[str]) -> npt.NDArray[np.int64]:
    """The deciding modality of each kind of query, as a place in ``DECIDES``."""
    return np.array([_BY_KIND.get(kind, 2) for kind in kinds])


def revealed(subject: Subject) -> npt.NDArray[np.bool_]:
    """bool[N]: the words name what the picture shows; false everywhere in a real catalogue."""
    if not subject.shop.offers:
        return np.zeros(len(subject.shop.catalogue), dtype=np.bool_)
    return np.array([offer.revealed for offer in subject.shop.offers])


def by_product(subject: Subject) -> Findings:
    """Every query with each product that fits it, one by one.

    Returns, with P such pairs: ``found`` bool[P], among the first ten; ``length`` int[P], words of the
    product's title; ``image_weight`` float[P].
    """
    top = best(subject.query_vectors, subject.products.fused, 10)
    listed = np.zeros(subject.grades.shape, dtype=np.bool_)
    np.put_along_axis(listed, top, True, axis=1)
    queries, products = np.nonzero(subject.grades == FITS)
    lengths = np.array([len(product.title.split()) for product in subject.shop.catalogue.products])
    return {
        "found": listed[queries, products],
        "length": lengths[products],
        "image_weight": subject.products.weights[products, 1],
    }


def weights(subject: Subject) -> Findings:
    """The image's weight of every product, and how often the picture decided a click on it.

    Returns, for the N products that have words and a picture: ``image_weight``; ``image_share``, the
    share of the product's clicks that the picture alone decided (NaN without clicks); ``article``, a
    number for each kind of article; and ``decides``, a place in ``DECIDES``; ``rows`` in the catalogue.
    """
    rows = np.flatnonzero(subject.has_text & subject.pictures.has_image.any(axis=1))
    share = _image_shares(subject)
    offers = subject.shop.offers
    names = sorted({offer.style.article.name for offer in offers})
    place = {Decides.IMAGE: 0, Decides.TEXT: 1, Decides.BOTH: 2}
    return {
        "image_weight": subject.products.weights[rows, 1].astype(np.float64),
        "image_share": share[rows],
        "article": np.array([names.index(offers[row].style.article.name) for row in rows.tolist()]),
        "decides": np.array([place[offers[row].style.article.decides] for row in rows.tolist()]),
        "rows": rows,
    }


def _image_shares(subject: Subject) -> npt.NDArray[np.float64]:
    clicks: Counter[str] = Counter()
    by_picture: Counter[str] = Counter()
    for click in subject.shop.clicks:
        clicks[click.product_id] += click.clicks
        by_picture[click.product_id] += click.clicks * (click.deciding_modality == "image")
    return np.array(
        [by_picture[one] / clicks[one] if clicks[one] else np.nan for one in subject.shop.catalogue.ids]
    )
