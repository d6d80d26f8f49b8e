"""Which categories and words a query is about, to leave out what is near but something else.

Nearest neighbours always exist: who asks for a bike tube in a shop that has run out of them is shown inner
tubes of paper. Taobao Search controls relevance after the neighbour search by the query's understood key
properties (Zheng et al., arXiv 2304.04377); its query understanding is not published, and these two rules are
ours [DESIGN]:

- **category**: a query is about each category that at least 30 % of its best ten hits are of. It may be about
  several, and a picture is understood like words. Where no category is so frequent, nothing is left out; a
  product without a category is kept, as by every negated filter.
- **keywords**: the decisive words of a query are its rare ones (in at most 5 % of the products, and in one at
  least) and the words of the release's keyword table. A product that has none of them is left out. Without a
  decisive word nothing is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEST", "categories_about", "decisive_words", "most_products_of_a_rare_word", "other_category"]

BEST = 10
_SHARE_OF_BEST = 0.3
_SHARE_OF_PRODUCTS = 0.05
_MOST_PRODUCTS = 1000
"""Counting stops there: whether a word is rare must not cost more than the search."""
_WORD = re.compile(r"\w+")


def categories_about(best: Sequence[str]) -> frozenset[str]:
    """Returns the categories that a query is about.

    Args:
        best: categories of its best hits, at most ``BEST`` of them; "" where a product has none.
    """
    counts = Counter(category for category in best if category)
    return frozenset(category for category, count in counts.items() if count >= _SHARE_OF_BEST * len(best))


def other_category(categories: Sequence[str], about: frozenset[str]) -> NDArray[np.bool_]:
    """Returns bool[n], which products are of a category that the query is not about."""
    if not about:
        return np.zeros(len(categories), np.bool_)
    return np.array([bool(category) and category not in about for category in categories], np.bool_)


def most_products_of_a_rare_word(products: int) -> int:
    """Returns in how many products a word may stand and still be rare."""
    return max(1, min(_MOST_PRODUCTS, int(_SHARE_OF_PRODUCTS * products)))


def decisive_words(
    text: str, keywords: Iterable[str], products: int, products_with: Callable[[str, int], int]
) -> tuple[str, ...]:
    """Returns the decisive words of a query, each once.

    Args:
        text: the query's words, normalised.
        keywords: what the keyword table has for it.
        products: how many there are.
        products_with: (word, most) -> in how many products it stands, counted up to ``most``.
    """
    rare = most_products_of_a_rare_word(products)
    words = dict.fromkeys(_WORD.findall(text))
    return tuple(
        dict.fromkeys((*(word for word in words if 1 <= products_with(word, rare + 1) <= rare), *keywords))
    )
