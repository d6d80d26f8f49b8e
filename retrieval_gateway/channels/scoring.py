"""BM25+ as queries of tantivy: what a word that is looked for adds to a product's score.

BM25 (Robertson et al., TREC-3, 1995) is tantivy's: k1 1.2, b .75, statistics by field; a word in the title
counts ``TITLE_WEIGHT`` times one in the description. BM25+ (Lv and Zhai, CIKM 2011) gives a word that is
there at all a worth of its own, so that a product with all of the query's words comes before one that has
some of them often: a shopper means every word. Here that worth is given once, whichever field has the word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tantivy import Occur, Query, Schema, Searcher

from retrieval_gateway.channels.lexical_files import DESCRIPTION, INDEX_OPTION, ROW, TITLE

__all__ = ["TITLE_WEIGHT", "WORTH", "Scoring", "all_of", "any_of"]

TITLE_WEIGHT = 2.0
WORTH = 3.0
"""Of a word that is there, in inverse document frequencies: BM25+'s delta of 1 in both fields."""
_K1 = 1.2
"""Tantivy's own, not to be set: however often a word stands in a text, it counts at most k1 + 1 times."""


class Scoring:
    """Makes queries over one index. Immutable.

    Args:
        schema: of the index.
        searcher: over its one commit.
    """

    def __init__(self, schema: Schema, searcher: Searcher) -> None:
        self._schema = schema
        self._searcher = searcher

    @property
    def ceiling(self) -> float:
        """A bound for what one word adds: in both fields, repeated for ever, and of one product alone."""
        return ((_K1 + 1) * (TITLE_WEIGHT + 1) + WORTH) * self._idf(1)

    def frequency(self, stem: str) -> int:
        """Returns how many products have a word, in the field where most have it."""
        return max(self._frequencies(stem))

    def most_products(self, stem: str) -> int:
        """Returns a bound for how many products have a word."""
        return sum(self._frequencies(stem))

    def scored(self, stem: str) -> Query:
        """Returns the products that have a word, each with what it adds to the product's score."""
        return any_of(
            [
                Query.boost_query(self._in_field(TITLE, stem), TITLE_WEIGHT),
                self._in_field(DESCRIPTION, stem),
                self.counted(stem, WORTH * self._idf(self.frequency(stem))),
            ]
        )

    def counted(self, stem: str, score: float) -> Query:
        """Returns the products that have a word, each with the same score."""
        return Query.const_score_query(
            any_of([self._in_field(TITLE, stem), self._in_field(DESCRIPTION, stem)]), score
        )

    def in_rows(self, rows: NDArray[np.int64]) -> Query:
        """Returns the products of these rows, which adds nothing to their scores."""
        return Query.const_score_query(Query.term_set_query(self._schema, ROW, rows.tolist()), 0.0)

    def _idf(self, products: int) -> float:
        """Inverse document frequency of a word that so many products have."""
        return math.log(1 + (self._searcher.num_docs - products + 0.5) / (products + 0.5))

    def _frequencies(self, stem: str) -> tuple[int, int]:
        return self._searcher.doc_freq(TITLE, stem), self._searcher.doc_freq(DESCRIPTION, stem)

    def _in_field(self, name: str, stem: str) -> Query:
        return Query.term_query(self._schema, name, stem, INDEX_OPTION)


def any_of(queries: Sequence[Query]) -> Query:
    """Returns the products of any of the queries; scores are added."""
    return Query.boolean_query([(Occur.Should, query) for query in queries])


def all_of(queries: Sequence[Query]) -> Query:
    """Returns the products of all queries; scores are added."""
    return Query.boolean_query([(Occur.Must, query) for query in queries])
