"""Co-clicks for a shop that keeps none: from products that were clicked for the same specific query."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from catalog.schema import Click, CoClick
from catalog.text import normalise_text


def coclicks_of(clicks: Sequence[Click], most_products: int = 20) -> list[CoClick]:
    """Derives co-clicks from a click log. Ours, from no paper [DESIGN].

    Two products clicked for "Kalmar glass fuse F2A" are likely the same thing; two clicked for "fuse"
    are not. So a query gives each pair of its products the smaller of their clicks, divided by the
    number of other products clicked for it, and a query with more products than ``most_products``
    gives none. What a pair collects over all queries is rounded; pairs with less than half a click
    are left out.

    Args:
        clicks: the click log; queries that differ in case or spaces only are one.
        most_products: a query with more products is too broad to say anything.

    Returns:
        A row in each direction, by trigger and clicked product.
    """
    asked: dict[str, Counter[str]] = {}
    for click in clicks:
        if click.clicks > 0:
            asked.setdefault(normalise_text(click.query), Counter())[click.product_id] += click.clicks
    shared: Counter[tuple[str, str]] = Counter()
    scale = math.lcm(*range(1, most_products))
    for products in asked.values():
        if not 2 <= len(products) <= most_products:
            continue
        for one, other in combinations(sorted(products), 2):
            # In whole numbers: sums of fractions would depend on the order of the log.
            shared[one, other] += min(products[one], products[other]) * scale // (len(products) - 1)
    rows = []
    for (one, other), share in shared.items():
        if count := (2 * share + scale) // (2 * scale):
            rows += [CoClick(one, other, count), CoClick(other, one, count)]
    return sorted(rows, key=lambda row: (row.trigger_id, row.clicked_id))
