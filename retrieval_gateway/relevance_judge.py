"""Applies relevance control to one ranking: learns from its best hits, then judges every hit alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import structlog
from numpy.typing import NDArray

from faults import VitrineError
from retrieval_gateway.finding import lexical_of
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.query import SearchQuery
from retrieval_gateway.ranking.relevance import BEST, categories_about, decisive_words, other_category

__all__ = ["RelevanceJudge"]

log = structlog.get_logger(__name__)


class RelevanceJudge:
    """Judges the rows of one query's ranking. Used by one request, and by one thread at a time.

    Args:
        query: what relevance control asks for.
        release: whose products.
        keywords: of the release's table, for this query.

    Attributes:
        failed: words could not be looked up, so that nothing was left out for them.
    """

    def __init__(self, query: SearchQuery, release: LoadedRelease, keywords: tuple[str, ...]) -> None:
        self._query = query
        self._release = release
        self._keywords = keywords
        self._about: frozenset[str] | None = None
        self._decisive: str | None = None
        self.failed = False

    def __call__(self, rows: NDArray[np.int64]) -> Mapping[str, NDArray[np.bool_]]:
        """Returns by reason, bool[n], which rows are left out; the first call has the best hits in front."""
        found: dict[str, NDArray[np.bool_]] = {}
        if self._query.relevance.category:
            found["category"] = self._of_other_category(rows)
        if self._query.relevance.keywords and not self.failed:
            try:
                found["keywords"] = self._without_decisive_word(rows)
            except Exception as error:  # control is a refinement: without it there is still an answer
                if not isinstance(error, VitrineError):
                    log.exception("relevance control by keywords is broken")
                self.failed = True
        return found

    def _of_other_category(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        categories = self._release.table.fields(rows, ("category",))["category"]
        if self._about is None:
            self._about = categories_about(categories[:BEST])
        return other_category(categories, self._about)

    def _without_decisive_word(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        lexical = lexical_of(self._release)
        if self._decisive is None:
            products = len(self._release.table)
            self._decisive = " ".join(
                decisive_words(
                    self._query.text,
                    self._keywords,
                    products,
                    lambda word, most: len(lexical.search(word, most, None).rows),
                )
            )
        if not self._decisive:
            return np.zeros(len(rows), np.bool_)
        return np.array([not matched for matched in lexical.matched_words(self._decisive, rows)], np.bool_)
