"""Texts that shoppers could have typed, made of a catalogue's titles and of a log's queries.

A click log knows a fraction of what will be asked. For learning from a teacher no click is needed: any
text will do that is like a query, and the teacher says where it belongs. How they are made is our
proposal [DESIGN].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from catalog.text import normalise_text

_MOST_WORDS = 4
_AROUND_WORDS = ".,;:!?()[]\"'|/-–—"


def pseudo_queries(
    titles: Sequence[str], queries: Sequence[str], count: int, random: np.random.Generator
) -> list[str]:
    """Makes up to ``count`` distinct texts of one to four words.

    Half of them are words that stand together in a title, half are words drawn from two queries:
    "striped mug" and "red plate" give "red mug", which nobody may have asked yet.

    Args:
        titles: of the products.
        queries: of the log; texts that are among them are left out.
        count: how many to draw; repetitions are dropped.
        random: of all choices.
    """
    in_titles = [words for words in map(_words, titles) if words]
    in_queries = [words for words in map(_words, queries) if words]
    known = {normalise_text(query) for query in queries}
    made: dict[str, None] = {}
    for number in range(count):
        length = int(random.integers(1, _MOST_WORDS + 1))
        if in_titles and (number % 2 == 0 or not in_queries):
            words = in_titles[int(random.integers(len(in_titles)))]
            start = int(random.integers(max(1, len(words) - length + 1)))
            chosen = words[start : start + length]
        elif in_queries:
            one, other = (in_queries[place] for place in random.integers(len(in_queries), size=2).tolist())
            both = list(dict.fromkeys(one + other))
            chosen = [both[place] for place in random.permutation(len(both))[:length].tolist()]
        else:
            break
        text = " ".join(chosen)
        if text not in known:
            made[text] = None
    return list(made)


def _words(text: str) -> list[str]:
    stripped = (word.strip(_AROUND_WORDS) for word in normalise_text(text).split())
    return [word for word in stripped if word]
