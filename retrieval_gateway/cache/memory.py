"""The tier in front: answers in this process, bounded in bytes and in age.

Least recently used goes first. But once the tier is full, a newcomer must be worth more than what it
pushes out: most queries come once and never again, and a robot that walks through a catalogue would
otherwise empty the cache of everything that shoppers ask. Worth is how often a request was seen
lately (TinyLFU; Einziger, Friedman and Manes 2017), compared with the sum over all that must go (the
aggregated victims of Einziger, Eytan, Friedman and Manes 2022, for entries of different sizes).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from retrieval_gateway.cache.popularity import Popularity

__all__ = ["MemoryTier"]

_ENTRY_OVERHEAD = 300
"""Bytes that Python spends on an entry beside its key and value (measured; a test holds it); without it
a million tiny answers would take ten times their bound."""


class _Entry(NamedTuple):
    payload: bytes
    expires_at: float


class MemoryTier:
    """Used from one event loop, so it needs no lock.

    Args:
        max_bytes: bound on keys, values and overhead together; 0 keeps nothing.
        popularity: decides who is admitted once the tier is full; None admits everyone.
        sights: how often a request must have been seen to be admitted to a full tier, at least.
        clock: seconds, monotonic; tests pass their own.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        popularity: Popularity | None = None,
        sights: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._popularity = popularity
        self._sights = sights
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._longest_ttl_s = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """Bytes held now, overhead included."""
        return self._bytes

    def get(self, key: str) -> bytes | None:
        """Returns what was stored and has not expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not self._alive(entry):
            self.discard(key)
            return None
        self._entries.move_to_end(key)
        return entry.payload

    def put(self, key: str, payload: bytes, ttl_s: float) -> bool:
        """Stores a payload for ``ttl_s`` seconds, and drops what was stored under its key before.

        Returns:
            False if it is not kept: larger than the whole bound, or not worth what would have to go.
        """
        self.discard(key)
        size = _size(key, payload)
        if size > self._max_bytes:
            return False
        victims = self._victims(key, self._bytes + size - self._max_bytes)
        if victims is None:
            return False
        for victim in victims:
            self.discard(victim)
        now = self._clock()
        entry = self._entries[key] = _Entry(payload, now + ttl_s)
        self._bytes += size
        self._longest_ttl_s = max(self._longest_ttl_s, entry.expires_at - now)  # rounded as _alive does
        return True

    def discard(self, key: str) -> None:
        """Drops a key if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry.payload)

    def forget(self, prefix: str) -> None:
        """Drops every key that begins so: those of a release that left. Walks through all keys."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            self.discard(key)

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()
        self._bytes = 0

    def _alive(self, entry: _Entry) -> bool:
        """Whether its time is not up. A clock that went back lets nothing live longer than it was given."""
        return 0 < entry.expires_at - self._clock() <= self._longest_ttl_s

    def _victims(self, key: str, needed: int) -> list[str] | None:
        """Returns who must go so that ``needed`` bytes become free; None if the newcomer is worth less."""
        victims: list[str] = []
        if needed <= 0:
            return victims
        worth = self._worth(key)
        if worth is not None and worth < self._sights:
            return None
        for victim, entry in self._entries.items():
            if worth is not None and self._alive(entry):
                worth -= self._worth(victim) or 0
                if worth <= 0:
                    return None
            victims.append(victim)
            needed -= _size(victim, entry.payload)
            if needed <= 0:
                break
        return victims

    def _worth(self, key: str) -> int | None:
        return None if self._popularity is None else self._popularity.frequency(key)


def _size(key: str, payload: bytes) -> int:
    return len(key) + len(payload) + _ENTRY_OVERHEAD
