"""Learns a vocabulary of word pieces: the same words always give the same vocabulary.

The Rust library has a trainer of its own, but it breaks ties by the order of a hash map:
two runs on one catalogue gave vocabularies that differ in a few pieces and hundreds of
ids. A release must be reproducible from its inputs, so the merging is done here, with
ties broken by spelling.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

__all__ = ["CONTINUES", "learn_word_pieces"]

CONTINUES = "##"
"""Marks a piece that does not begin a word."""

_LEAST_COUNT = 2
_Pair: TypeAlias = tuple[str, str]


def learn_word_pieces(word_counts: Mapping[str, int], size: int, most_letters: int) -> list[str]:
    """Returns at most ``size`` pieces: single letters first, then merged ones as they were found.

    Repeatedly joins the neighbouring pair of pieces that occurs most often.

    Args:
        word_counts: how often each word occurs.
        size: most pieces.
        most_letters: letters kept, the most frequent ones; words with others become unknown.
    """
    letters: Counter[str] = Counter()
    for word, count in word_counts.items():
        for letter in word:
            letters[letter] += count
    ranked = sorted(letters, key=lambda letter: (-letters[letter], letter))
    kept = set(ranked[:most_letters])
    words = {word: count for word, count in word_counts.items() if kept.issuperset(word)}
    pieces = _letter_pieces(words)[:size]
    merging = _Merging(words)
    known = set(pieces)
    while len(pieces) < size and (pair := merging.best()) is not None:
        joined = merging.join(pair)
        if joined not in known:  # two different pairs can spell the same piece
            known.add(joined)
            pieces.append(joined)
    return pieces


def _letter_pieces(words: Mapping[str, int]) -> list[str]:
    """Every kept letter, at the beginning of a word and inside of one, so that any word can be spelt."""
    letters = sorted({letter for word in words for letter in word})
    return letters + [CONTINUES + letter for letter in letters]


class _Merging:
    """The words as lists of pieces, with counts of neighbouring pairs kept up to date."""

    def __init__(self, words: Mapping[str, int]) -> None:
        self._words = [[word[0], *(CONTINUES + letter for letter in word[1:])] for word in words]
        self._counts = list(words.values())
        self._pairs: Counter[_Pair] = Counter()
        self._places: dict[_Pair, set[int]] = {}
        for place in range(len(self._words)):
            self._account(place, +1)
        # Entries go stale when a count changes; best() drops those that do.
        self._heap = [(-count, pair) for pair, count in self._pairs.items()]
        heapq.heapify(self._heap)

    def best(self) -> _Pair | None:
        """Returns the most frequent pair, the first by spelling among equals; None if all are rare."""
        while self._heap:
            negative, pair = heapq.heappop(self._heap)
            if self._pairs[pair] == -negative >= _LEAST_COUNT:
                return pair
        return None

    def join(self, pair: _Pair) -> str:
        """Joins the pair wherever it stands; returns the new piece."""
        joined = pair[0] + pair[1].removeprefix(CONTINUES)
        touched: set[_Pair] = set()
        for place in sorted(self._places[pair]):
            touched |= self._account(place, -1)
            self._words[place] = _joined(self._words[place], pair, joined)
            touched |= self._account(place, +1)
        for other in touched:
            if self._pairs[other] >= _LEAST_COUNT:
                heapq.heappush(self._heap, (-self._pairs[other], other))
        return joined

    def _account(self, place: int, sign: int) -> set[_Pair]:
        """Adds (or takes away) the pairs of one word; returns them."""
        pieces = self._words[place]
        pairs = list(pairwise(pieces))
        for pair in pairs:
            self._pairs[pair] += sign * self._counts[place]
            places = self._places.setdefault(pair, set())
            if sign > 0:
                places.add(place)
            else:
                places.discard(place)
        return set(pairs)


def _joined(pieces: list[str], pair: _Pair, joined: str) -> list[str]:
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] = joined
        else:
            result.append(piece)
    return result
