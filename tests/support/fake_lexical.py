"""Full text without an engine: a product's score is how many of the query's words it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faults import Unavailable
from retrieval_gateway.channels.types import Ranking


@dataclass(frozen=True)
class FakeWord:
    text: str


class FakeLexical:
    """What the searcher asks of ``retrieval_gateway.channels.lexical.LexicalIndex``; a congruence test holds
    the two together.

    Args:
        texts: of the products, row by row.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = [set(_words(text)) for text in texts]
        self.broken: Exception | None = None
        self.asked: list[tuple[str, int]] = []

    def words(self, text: str) -> list[FakeWord]:
        known = set().union(*self._words)
        return [FakeWord(word) for word in dict.fromkeys(_words(text)) if word in known]

    def search(self, text: str, k: int, allowed: NDArray[np.bool_] | None = None) -> Ranking:
        self._answer()
        self.asked.append((text, k))
        wanted = {word.text for word in self.words(text)}
        scores = np.array([len(wanted & words) for words in self._words], np.float32)
        if allowed is not None:
            scores[~allowed] = 0
        rows = np.lexsort((np.arange(len(scores)), -scores))[: min(k, np.count_nonzero(scores))]
        return Ranking(rows.astype(np.int64), scores[rows])

    def matched_words(self, text: str, rows: NDArray[np.int64]) -> list[list[str]]:
        self._answer()
        words = [word.text for word in self.words(text)]
        return [[word for word in words if word in self._words[row]] for row in rows]

    def _answer(self) -> None:
        if self.broken is not None:
            raise self.broken

    def break_down(self) -> None:
        """Answers nobody from now on."""
        self.broken = Unavailable("the full-text index is away", field="lexical", retry_after_s=1.0)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
