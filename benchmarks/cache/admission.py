"""Hit rates with and without admission, while a robot walks through the catalogue: counted, not timed.

Shoppers' queries follow Zipf's law; after each of them come some that nobody asks twice. What counts is
the share of the shoppers' queries that a small memory answers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from retrieval_gateway.cache import MemoryTier, Popularity, cache_key

__all__ = ["hit_rate", "measure", "shoppers", "with_a_robot"]

_KINDS = 5000
_REPLY = bytes(100)
_ENTRY_BYTES = 450
"""A key, the reply and what the tier adds to them for its own overhead, rounded up."""


def shoppers(seed: int, count: int) -> Iterator[str]:
    """Yields queries after Zipf's law with exponent 1, over 5,000 kinds."""
    weights = [1 / rank for rank in range(1, _KINDS + 1)]
    return (f"shopper {kind}" for kind in random.Random(seed).choices(range(_KINDS), weights, k=count))


def with_a_robot(queries: Iterator[str], robots: int) -> Iterator[str]:
    """Yields each query and after it ``robots`` others, each of them once and never again."""
    for at, query in enumerate(queries):
        yield query
        yield from (f"robot {at} {number}" for number in range(robots))


def hit_rate(queries: Iterator[str], popularity: Popularity | None, *, entries: int = 200) -> float:
    """Returns the share of the shoppers' queries that a memory tier of about so many entries answers."""
    tier = MemoryTier(entries * _ENTRY_BYTES, popularity=popularity)
    hits = asked = 0
    for query in queries:
        key = cache_key("20261120T101500Z-abcdef", {"query": query})
        if popularity is not None:
            popularity.saw(key)
        hit = tier.get(key) is not None
        if query.startswith("shopper"):
            asked += 1
            hits += hit
        if not hit:
            tier.put(key, _REPLY, 600.0)
    return hits / asked


def measure() -> list[dict[str, object]]:
    """Returns a row for each number of robots; memory holds 200 of 5,000 kinds."""
    return [
        {
            "robots": robots,
            "lru": round(hit_rate(with_a_robot(shoppers(5, 12_000), robots), None), 3),
            **{
                f"admission, {width} wide": round(
                    hit_rate(with_a_robot(shoppers(5, 12_000), robots), Popularity(width)), 3
                )
                for width in (1024, 8192, 65536)
            },
        }
        for robots in (0, 1, 3, 10)
    ]
