"""The tier in front: answers in this process, bounded in bytes and in age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["MemoryTier"]

_ENTRY_OVERHEAD = 300
"""Bytes that Python spends on an entry beside its key and value; without it a million tiny
answers would take ten times their bound."""


class _Entry(NamedTuple):
    payload: bytes
    expires_at: float


class MemoryTier:
    """Least recently used goes first. Used from one event loop, so it needs no lock.

    Args:
        max_bytes: bound on keys, values and overhead together; 0 keeps nothing.
        clock: seconds, monotonic; tests pass their own.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

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
        if entry.expires_at <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.payload

    def put(self, key: str, payload: bytes, ttl_s: float) -> None:
        """Stores a payload for ``ttl_s`` seconds; one that is larger than the whole bound is not kept."""
        if key in self._entries:
            self._drop(key)
        size = _size(key, payload)
        if size > self._max_bytes:
            return
        self._entries[key] = _Entry(payload, self._clock() + ttl_s)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: str) -> None:
        self._bytes -= _size(key, self._entries.pop(key).payload)


def _size(key: str, payload: bytes) -> int:
    return len(key) + len(payload) + _ENTRY_OVERHEAD
