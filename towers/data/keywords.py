"""Keywords mined from the click log: what the titles say that were clicked for a query.

MAKE's abstract (arXiv 2301.12646) names Keyword Enhancement, to enrich the representations of queries;
how keywords are found and used is not published. Ours [DESIGN] serves both readings of it:

- as input: the words that stand in the clicked titles more often than in others, by pointwise mutual
  information (PMI), weighted with the word's share of the query's clicks. Unweighted, the rarest words
  would always come first;
- as a mask: two queries with nearly the same words mean the same, so the product of one is no
  negative for the other.

The floors decide what is worth saying. A word from a single clicked product is no keyword: in
training it would tell the query tower which product was clicked, and nothing about any other.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from catalog.complaints import refuse_unknown
from catalog.keyword_table import KeywordTable
from catalog.phrasings import singular
from catalog.schema import Click
from catalog.text import normalise_text
from faults import InvalidInput

_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
"""Letters and digits of any script; a type number such as smd-2 stays whole."""

_SAY_NOTHING = frozenset({"and", "by", "for", "from", "in", "of", "on", "the", "to", "with"})
"""Words that wordings of one intent differ by; in other languages they merely stay in."""

_Words = Mapping[str, frozenset[str]]
_Counts = Mapping[str, int]


class Floors(NamedTuple):
    """Below one of these a word is no keyword of a query."""

    products: int = 2
    """Distinct products, clicked for the query, whose titles have the word."""
    clicks: int = 3
    """Clicks on these products for the query."""
    share: float = 0.2
    """Of the query's clicks, those on these products."""
    lift: float = 2.0
    """How much more often the word stands in the query's clicked titles than in all clicked titles."""


USUAL_FLOORS = Floors()


def mine_keywords(
    clicks: Sequence[Click],
    titles: Mapping[str, str],
    *,
    per_query: int = 4,
    floors: Floors = USUAL_FLOORS,
) -> KeywordTable:
    """Returns the keywords of every query that has any; equal arguments give equal tables.

    Clicks count by their square root, as in the batches: the head of the log must not crowd out
    the tail.

    Args:
        clicks: the log of the products that are learned from, and of no others.
        titles: by product id.
        per_query: most keywords of a query.
        floors: what a word must reach.

    Raises:
        CatalogueError: the log names products that have no title here (counted, with examples).
        InvalidInput: ``per_query`` below 1.
    """
    if per_query < 1:
        raise InvalidInput("must be positive.", field="per_query", value=per_query, fix="Give 1 or more.")
    refuse_unknown(
        (click.product_id for click in clicks),
        titles,
        what="clicked products have no title",
        where="clicks.product_id",
        fix="Give the click log of this catalogue, or add the products.",
    )
    words = {product_id: frozenset(words_of(title)) for product_id, title in titles.items()}
    asked = _clicks_by_query(clicks)
    usual = _usual_shares(asked, words)
    return KeywordTable(
        {query: _best(query, asked[query], words, usual, per_query, floors) for query in asked}
    )


def words_of(text: str) -> list[str]:
    """Returns the words of a text, normalised, in order; scripts without spaces give long ones."""
    return _WORD.findall(normalise_text(text))


def intent_words(query: str, table: KeywordTable) -> frozenset[str]:
    """Returns what tells one intent from another: the query's own words in the singular, and its keywords.

    The own words belong in: where a title does not name the colour, the keywords of "red mug" and
    "blue mug" are the same ones.
    """
    own = (singular(word) for word in words_of(query) if len(word) > 1 and word not in _SAY_NOTHING)
    return frozenset(own) | frozenset(table.of(query))


def keyword_overlap(words: Sequence[frozenset[str]], threshold: float) -> npt.NDArray[np.bool_]:
    """Tells which of Q queries mean the same: their words overlap by Jaccard's measure.

    Args:
        words: what tells the intent of each query, see ``intent_words``.
        threshold: least share of the words of either that both have, above 0 and at most 1.

    Returns:
        bool[Q,Q], symmetric; a query means the same as itself, also without words.

    Raises:
        InvalidInput: ``threshold`` out of range.
    """
    if not 0 < threshold <= 1:
        raise InvalidInput(
            "must be above 0 and at most 1.", field="threshold", value=threshold, fix="0.8 is usual."
        )
    place = {word: number for number, word in enumerate(sorted(frozenset().union(*words)))}
    has = np.zeros((len(words), len(place)), dtype=np.float32)
    for row, own in enumerate(words):
        has[row, [place[word] for word in own]] = 1.0
    both = has @ has.T  # counts of words: exact in float32
    sizes = np.diagonal(both)
    either = sizes[:, None] + sizes[None, :] - both
    # In whole numbers' terms: a quotient of float32 could fall just short of the threshold.
    same: npt.NDArray[np.bool_] = (both > 0) & (both.astype(np.float64) >= threshold * either - 1e-9)
    np.fill_diagonal(same, val=True)
    return same


def _clicks_by_query(clicks: Sequence[Click]) -> dict[str, Counter[str]]:
    """Clicks by normalised query and product."""
    asked: dict[str, Counter[str]] = {}
    for click in clicks:
        if click.clicks > 0:
            asked.setdefault(normalise_text(click.query), Counter())[click.product_id] += click.clicks
    return asked


def _usual_shares(asked: Mapping[str, _Counts], words: _Words) -> dict[str, float]:
    """Each word's share of all clicks: those on products whose titles have it."""
    weights: dict[str, float] = {}
    whole = 0.0
    for products in asked.values():
        for product_id, count in products.items():
            whole += math.sqrt(count)
            for word in words[product_id]:
                weights[word] = weights.get(word, 0.0) + math.sqrt(count)
    return {word: weight / whole for word, weight in weights.items()}


def _best(
    query: str, products: _Counts, words: _Words, usual: Mapping[str, float], most: int, floors: Floors
) -> tuple[str, ...]:
    """The query's keywords by falling score; equal scores by spelling."""
    said = {singular(word) for word in words_of(query)}
    whole = sum(map(math.sqrt, products.values()))
    scores: dict[str, float] = {}
    for word in sorted(frozenset().union(*(words[product_id] for product_id in products))):
        having = [count for product_id, count in products.items() if word in words[product_id]]
        share = sum(map(math.sqrt, having)) / whole
        lift = share / usual[word]
        reached = zip((len(having), sum(having), share, lift), floors, strict=True)
        if all(one >= least for one, least in reached) and singular(word) not in said and len(word) > 1:
            scores[word] = share * math.log(lift)
    return tuple(sorted(scores, key=lambda word: (-scores[word], word))[:most])
