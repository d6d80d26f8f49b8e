"""The dense channel beside others: a lexical one, and a filter on the category that a query names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.ranking import best
from benchmarks.experiments.measures.subject import FITS, Subject
from catalog.phrasings import plural
from catalog.sample_shop.articles import ARTICLES
from towers.data.keywords import words_of

__all__ = ["bm25", "channels", "filtered", "named_article"]

_DEPTH = 100
_K1, _B = 1.2, 0.75
_PAGE = 10


def channels(subject: Subject) -> Findings:
    """The lists of a lexical channel (BM25 over title and description), and the relevant products.

    Returns, with Q queries and N products: ``lexical`` int[Q,100], -1 where no word is found;
    ``fits`` bool[Q,N].
    """
    queries = [query.query for query in subject.shop.queries]
    scores = bm25(subject.texts, queries)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_DEPTH]
    found = np.take_along_axis(scores, order, axis=1) > 0
    return {
        "lexical": np.where(found, order, -1).astype(np.int32),
        "fits": subject.grades == FITS,
    }


def bm25(texts: Sequence[str], queries: Sequence[str]) -> npt.NDArray[np.float64]:
    """Okapi BM25 (Robertson et al., 1994; k1 = 1.2, b = 0.75) of each query and text, float64[Q,N]."""
    documents = [Counter(words_of(text)) for text in texts]
    holding = Counter(word for document in documents for word in document)
    lengths = np.array([document.total() for document in documents], dtype=np.float64)
    scores = np.zeros((len(queries), len(texts)))
    for row, query in enumerate(queries):
        for word in words_of(query):
            if word not in holding:
                continue
            rarity = math.log(1 + (len(texts) - holding[word] + 0.5) / (holding[word] + 0.5))
            counts = np.array([document[word] for document in documents], dtype=np.float64)
            room = _K1 * (1 - _B + _B * lengths / lengths.mean())
            scores[row] += rarity * counts * (_K1 + 1) / (counts + room)
    return scores


def filtered(subject: Subject) -> Findings:
    """A filter on the article that a query names, after the search.

    How much it drops is measured on every other query; on the rest ``k / (1 - share)`` products are
    fetched, so that about k remain.

    Returns, with the Q queries that name an article: ``precision`` and ``precision_filtered`` float[Q], the
    share of the right article among the first ten; ``found`` and ``found_filtered`` float[Q], the share of
    the fitting products among the first hundred; ``kept`` and ``kept_overfetched`` float[R], how many of ten
    remain of the other half of the queries; ``dropped``, the measured share.
    """
    offers = subject.shop.offers
    named = [named_article(query.query) for query in subject.shop.queries]
    asked = np.flatnonzero([name is not None for name in named])
    of_article = np.array(
        [[offer.style.article.name == named[row] for offer in offers] for row in asked], dtype=np.bool_
    )
    order = best(subject.query_vectors[asked], subject.products.fused, len(offers))
    allowed = np.take_along_axis(of_article, order, axis=1)
    grades = np.take_along_axis(subject.grades[asked], order, axis=1)
    fits = grades == FITS
    relevant = np.maximum(1, np.minimum(fits.sum(axis=1), _DEPTH))
    dropped = float(1 - allowed[::2, :_PAGE].mean())
    fetched = math.ceil(_PAGE / max(1e-6, 1 - dropped))
    # Allowed places move to the front and keep their order: the list after the filter.
    front = np.argsort(~allowed, axis=1, kind="stable")
    kept = np.take_along_axis(grades * allowed, front, axis=1)
    seen = np.maximum(1, np.minimum(allowed.sum(axis=1), _PAGE))
    return {
        "precision": (grades[:, :_PAGE] > 0).mean(axis=1),
        "precision_filtered": (kept[:, :_PAGE] > 0).sum(axis=1) / seen,
        "found": fits[:, :_DEPTH].sum(axis=1) / relevant,
        "found_filtered": ((grades == FITS) & allowed)[:, :_DEPTH].sum(axis=1) / relevant,
        "kept": allowed[1::2, :_PAGE].sum(axis=1).astype(np.float64),
        "kept_overfetched": np.minimum(_PAGE, allowed[1::2, :fetched].sum(axis=1)).astype(np.float64),
        "dropped": np.array(dropped),
    }


def named_article(query: str) -> str | None:
    """The article that a query names, by the longest of its names; None where it names none."""
    text = f" {query.lower()} "
    for name in sorted(_NAMES, key=len, reverse=True):
        if f" {name} " in text:
            return _NAMES[name]
    return None


_NAMES = {
    form: article.name for article in ARTICLES for name in article.names for form in (name, plural(name))
}
