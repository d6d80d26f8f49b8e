"""The ranking of one query, added to rung by rung, and what keeps a hit out of it.

Every step looks at a hit and at those before it, never at those after it. So adding a rung at the end changes
nothing in front, and pages of the ranking stay what they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.channels.types import Merged

__all__ = ["NOTHING", "Ranked", "Steps", "append", "extend"]

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Steps:
    """What keeps a hit out, in this order.

    Attributes:
        irrelevant: rows int64[n] -> by reason, bool[n], what relevance control leaves out; None: it is off.
        minimum_score: hits below are left out; None: none are.
        per_style_group: most hits of a style group; 0: no limit.
        groups: rows int64[n] -> their style groups, "" where a product has none and stands for itself.
    """

    irrelevant: Callable[[Rows], Mapping[str, Mask]] | None = None
    minimum_score: float | None = None
    per_style_group: int = 0
    groups: Callable[[Rows], Sequence[str]] = lambda rows: [""] * len(rows)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A ranking so far.

    Attributes:
        hits: what is left, best first.
        seen: int64[n], every row that was ranked, kept or not.
        in_group: how many hits of each style group there are.
        removed: how many products relevance control left out, by reason.
    """

    hits: Merged
    seen: Rows
    in_group: Mapping[str, int]
    removed: Mapping[str, int]


def extend(ranked: Ranked, merged: Merged, steps: Steps) -> Ranked:
    """Adds what is new in a deeper ranking of the same query, behind what is there."""
    fresh = merged.take(~np.isin(merged.rows, ranked.seen)) if len(ranked.seen) else merged
    seen = np.concatenate((ranked.seen, fresh.rows))
    removed: Counter[str] = Counter(ranked.removed)
    if steps.irrelevant is not None:
        left = np.ones(len(fresh), np.bool_)
        for reason, out in steps.irrelevant(fresh.rows).items():
            removed[reason] += int((out & left).sum())  # one product, one reason: the first
            left &= ~out
        fresh = fresh.take(left)
    if steps.minimum_score is not None:
        fresh = fresh.take(fresh.scores >= np.float32(steps.minimum_score))
    in_group = ranked.in_group
    if steps.per_style_group:
        places, in_group = _collapsed(steps.groups(fresh.rows), steps.per_style_group, in_group)
        fresh = fresh.take(places)
    return replace(
        ranked, hits=append(ranked.hits, fresh), seen=seen, in_group=in_group, removed=dict(removed)
    )


def append(first: Merged, second: Merged) -> Merged:
    """Puts one ranking behind another."""
    if not len(first):
        return second
    return Merged(
        *(np.concatenate((getattr(first, name), getattr(second, name))) for name in Merged.__slots__)
    )


def _collapsed(
    groups: Sequence[str], most: int, in_group: Mapping[str, int]
) -> tuple[Mask, Mapping[str, int]]:
    """Returns bool[n], which hits find room in their group, and how full each group is then."""
    counts = Counter(in_group)
    room = np.ones(len(groups), np.bool_)
    for place, group in enumerate(groups):
        if group:
            room[place] = counts[group] < most
            counts[group] += int(room[place])
    return room, counts


def _nothing() -> Merged:
    kinds = {"rows": np.int64, "dense": np.bool_, "only": np.bool_, "dense_rank": np.int32}
    kinds |= {"lexical_rank": np.int32}
    return Merged(*(np.zeros(0, kinds.get(name, np.float32)) for name in Merged.__slots__))


NOTHING = Ranked(_nothing(), np.zeros(0, np.int64), {}, {})
"""The ranking before anybody was asked."""
