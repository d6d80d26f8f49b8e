"""The lexical channel: products that have the words of the query, ranked by BM25+ (``scoring``).

A query is never parsed: its words become the terms of a query that is put together here, so that no
shopper can type syntax.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tantivy import Query, Schema, Searcher

import faults
from retrieval_gateway.channels.analysis import STOP_WORDS, split_words, stems
from retrieval_gateway.channels.lexical_files import ROW, open_lexical_files
from retrieval_gateway.channels.scoring import Scoring, all_of, any_of
from retrieval_gateway.channels.spelling import mended_stem
from retrieval_gateway.channels.types import Ranking

__all__ = ["LexicalIndex", "Word"]

_MOST_WORDS = 64
"""Of one query; the rest of a longer one is not looked for."""
_MOST_MENDED = 4
_GROWTH = 4
_EXTRA = 16
_ROW_SET_HITS = 5_000
"""What restricting a query to a set of rows costs at least, counted in hits that could be read instead."""
_BITS = 20
"""Words told apart in one pass of ``matched_words``: a float32 counts exactly up to 2^24."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a query.

    Attributes:
        text: as typed, normalised.
        stem: what is looked for; another word's where this one is unknown and was mended.
    """

    text: str
    stem: str


class LexicalIndex:
    """A release's full-text index, open for reading; any thread may search, and searches free the GIL.

    Args:
        schema: of the index.
        searcher: over its one commit.
    """

    def __init__(self, schema: Schema, searcher: Searcher) -> None:
        self._searcher = searcher
        self._scoring = Scoring(schema, searcher)
        # Tied hits come in rising order within a segment, because it is sorted by row.
        self._ties_in_order = searcher.num_segments <= 1

    @classmethod
    def open(cls, path: Path) -> LexicalIndex:
        """Opens the folder that ``write_lexical_files`` wrote; errors as ``open_lexical_files``."""
        return cls(*open_lexical_files(path))

    @property
    def count(self) -> int:
        """Number of products."""
        return self._searcher.num_docs

    def search(self, text: str, k: int, allowed: NDArray[np.bool_] | None = None) -> Ranking:
        """Finds the k best products that have a word of the query.

        Fewer than k are returned only where no more allowed products have one. Tied products stand in
        rising order of rows.

        Args:
            text: the query, any text.
            k: how many, at least 1.
            allowed: bool[count]; only rows that are true may be found. None allows all.

        Raises:
            faults.InvalidInput: k below 1.
            faults.InternalError: a mask of another shape.
        """
        self._check(k, allowed)
        found = [word.stem for word in self.words(text)]
        available = self.count if allowed is None else int(np.count_nonzero(allowed))
        if not found or not available:
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
        query, depth = any_of([self._scoring.scored(stem) for stem in found]), k
        if allowed is not None:
            matching = sum(map(self._scoring.most_products, found)) + 1
            depth = min(matching, 3 * k * self.count // (2 * available))
            if available + _ROW_SET_HITS < depth:
                query, depth = all_of([query, self._scoring.in_rows(np.flatnonzero(allowed))]), k
                allowed = None
        ranking = self._best(query, k, allowed, min(self.count, depth + _EXTRA))
        return replace(ranking, ceiling=len(found) * self._scoring.ceiling)

    def words(self, text: str) -> list[Word]:
        """Returns the words of a query that are looked for, each once, in their order.

        Stop words are left out where there are others. A word that no product has is mended or left out.
        """
        texts = list(dict.fromkeys(split_words(text)))
        texts = ([one for one in texts if one not in STOP_WORDS] or texts)[:_MOST_WORDS]
        found: dict[str, Word] = {}
        mended = 0
        for one, stem in zip(texts, stems(texts), strict=True):
            known: str | None = stem
            if not self._scoring.frequency(stem):
                known = mended_stem(one, self._scoring.frequency) if mended < _MOST_MENDED else None
                mended += 1
            if known is not None:
                found.setdefault(known, Word(one, known))
        return list(found.values())

    def matched_words(self, text: str, rows: NDArray[np.int64]) -> list[list[str]]:
        """Returns for each row the words of the query, as typed, that the product's text has.

        Args:
            text: the query.
            rows: int64[m], each in 0..count-1.
        """
        words = self.words(text)
        found: dict[int, list[str]] = {row: [] for row in rows.tolist()}
        for start in range(0, len(words) if found else 0, _BITS):
            part = words[start : start + _BITS]
            # The score of a hit is the sum of its words' powers of two: one search tells all of them.
            bits = [self._scoring.counted(word.stem, float(1 << bit)) for bit, word in enumerate(part)]
            query = all_of([any_of(bits), self._scoring.in_rows(np.unique(rows))])
            ranking = self._best(query, len(found), None, len(found))
            for row, score in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True):
                found[row] += [word.text for bit, word in enumerate(part) if int(score) >> bit & 1]
        return [found[row] for row in rows.tolist()]

    def _check(self, k: int, allowed: NDArray[np.bool_] | None) -> None:
        if k < 1:
            raise faults.InvalidInput(
                "at least one product must be asked for", field="k", value=k, fix="k >= 1."
            )
        if allowed is not None and (allowed.shape != (self.count,) or allowed.dtype != np.bool_):
            raise faults.InternalError(
                f"allowed must be bool [{self.count}]",
                field="allowed",
                value=(allowed.shape, str(allowed.dtype)),
            )

    def _best(self, query: Query, k: int, allowed: NDArray[np.bool_] | None, depth: int) -> Ranking:
        """Reads hits until k of them are allowed and no later one can tie with the last, or all are read."""
        while True:
            hits = self._searcher.search(query, limit=depth, count=False).hits
            scores = np.array([score for score, _ in hits], np.float32)
            addresses = [address for _, address in hits]
            rows = np.array(self._searcher.fast_field_values(ROW, addresses), np.int64)
            complete = len(hits) < depth or depth == self.count
            last = -np.inf if complete else scores[-1]
            if allowed is not None:
                kept = allowed[rows]
                rows, scores = rows[kept], scores[kept]
            if complete or (len(rows) >= k and (self._ties_in_order or scores[k - 1] > last)):
                order = np.lexsort((rows, -scores))[:k]
                return Ranking(rows[order], scores[order])
            depth = min(depth * _GROWTH, self.count)
