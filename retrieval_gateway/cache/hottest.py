"""The requests that are asked most, kept so that they can be asked again of another release.

A release switch begins with an empty cache, because keys carry the release. What was hot a second
ago will be hot a second from now; so the cache remembers the hottest requests themselves, and
``prewarm`` replays them. The list is bounded: a newcomer takes the place of the coldest one once
the sketch has seen it more often (a filtered list of frequent items, after Homem and Carvalho 2010).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

__all__ = ["Hot", "HottestRequests"]


@dataclass(frozen=True, slots=True)
class Hot:
    """A hot request: what its caller gave to replay it by, and about how often it was seen lately (1-255)."""

    replay: object
    count: int


@dataclass(slots=True)
class _Slot:
    replay: object
    count: int


class HottestRequests:
    """Used from one event loop.

    Args:
        capacity: most requests in the list.
    """

    def __init__(self, capacity: int = 512) -> None:
        self._capacity = capacity
        self._slots: dict[str, _Slot] = {}
        self._floor = 0  # no slot is colder: most newcomers are turned away without a search

    def __len__(self) -> int:
        return len(self._slots)

    def saw(self, request: str, count: int, replay: object) -> None:
        """Takes note of a request that the sketch has seen ``count`` times."""
        slot = self._slots.get(request)
        if slot is not None:
            slot.count = count
        elif len(self._slots) < self._capacity:
            self._slots[request] = _Slot(replay, count)
        elif count > self._floor and self._slots:
            self._take_the_coldest_place(request, _Slot(replay, count))

    def hottest(self, n: int) -> list[Hot]:
        """Returns at most ``n`` requests, the hottest first."""
        slots = heapq.nlargest(n, self._slots.values(), key=lambda slot: slot.count)
        return [Hot(slot.replay, slot.count) for slot in slots]

    def halve(self) -> None:
        """Follows the sketch when it halves its counters."""
        for slot in self._slots.values():
            slot.count >>= 1
        self._floor >>= 1

    def _take_the_coldest_place(self, request: str, newcomer: _Slot) -> None:
        coldest = min(self._slots, key=lambda one: self._slots[one].count)
        self._floor = self._slots[coldest].count
        if newcomer.count > self._floor:
            del self._slots[coldest]
            self._slots[request] = newcomer
