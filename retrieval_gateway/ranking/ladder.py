"""How deep the channels are asked: a few fixed depths, so that every page is a slice of one ranking.

What merges and approximate indexes find near the top depends on how deep they were asked. If each page
asked as deep as itself, a product could move over the edge between two pages and be shown twice, or never.
So depths are rungs of a ladder. The ranking of a query is that of the first rung, followed by what the second
finds beyond it, and so on: it does not depend on the page that asks, and pages cut it without gaps. A
lower rung is a fraction of the next, so that climbing costs little more than the last rung alone.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["DEEPEST", "FIRST", "rungs"]

FIRST = 128
"""Deep enough for nearly every page that a shopper sees, and hardly dearer than ten."""
_GROWTH = 4
DEEPEST = 32_768
"""How far over-fetching goes. A page may lie deeper where ``max_k`` allows; then it is the end."""


def rungs(needed: int, *, any_depth: bool = False) -> Iterator[int]:
    """Yields depths, rising, up to the first that is at least ``DEEPEST`` and at least ``needed``.

    Args:
        needed: hits that the page asks for, those of earlier pages included.
        any_depth: a deeper answer of this ranking begins with every shallower one (one channel, exact, and
            nothing derived from its depth): then the first rung is as deep as needed.
    """
    depth = needed if any_depth else FIRST
    yield depth
    while depth < max(DEEPEST, needed):
        depth *= _GROWTH
        yield depth
