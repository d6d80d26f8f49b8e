"""Answers by key: from memory, from the shared tier, from a computation under way, or computed now.

The cache owns its flights; callers only wait for them. What is stored is the reply as bytes, so that
a hit is handed to the network as it is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import faults
from retrieval_gateway.cache.counters import CacheCounters
from retrieval_gateway.cache.envelope import open_envelope, seal_envelope
from retrieval_gateway.cache.flight import Flight
from retrieval_gateway.cache.memory import MemoryTier
from retrieval_gateway.cache.shared_tier import SharedTier

__all__ = ["CacheAnswer", "ResponseCache", "Source"]

Source = Literal["memory", "redis", "flight", "computed"]
_MOST_PENDING_WRITES = 256


@dataclass(frozen=True, slots=True)
class CacheAnswer:
    """A reply and where it came from; ``flight`` is a computation that another caller had begun."""

    payload: bytes
    source: Source


class ResponseCache:
    """Used from one event loop.

    Args:
        memory: the tier in this process.
        shared: the tier that gateways share, or None.
        counters: told of hits, misses, failures and shared flights.
        ttl_s: how long an answer is kept. Releases never change, so this bounds memory, not staleness.
        ttl_jitter: share of the TTL taken off at random, so that answers that were made together
            (at a release switch) do not expire together.
        uniform: random numbers in [0, 1); tests pass their own.
    """

    def __init__(
        self,
        memory: MemoryTier,
        shared: SharedTier | None,
        counters: CacheCounters,
        *,
        ttl_s: float = 3600.0,
        ttl_jitter: float = 0.1,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._counters = counters
        self._ttl_s = ttl_s
        self._ttl_jitter = ttl_jitter
        self._uniform = uniform
        self._flights: dict[str, Flight[CacheAnswer]] = {}
        self._writes: set[asyncio.Task[bool]] = set()
        self._closed = False

    async def get_or_compute(
        self, key: str, release_id: str, compute: Callable[[], Awaitable[bytes]]
    ) -> CacheAnswer:
        """Returns the answer to a key, computing it at most once however many ask at the same time.

        What ``compute`` raises reaches everyone who waits for it and is not cached. One error is
        different: the deadline of the caller who began a computation is not the deadline of
        those who joined, so they start over instead of failing with it.

        Args:
            key: from ``cache_key``.
            release_id: the release that the key was made for.
            compute: makes the reply; run in a task of its own.

        Raises:
            faults.Unavailable: the cache was closed meanwhile.
        """
        while True:
            payload = self._memory.get(key)
            if payload is not None:
                self._counters.hit("memory")
                return CacheAnswer(payload, "memory")
            flight = self._flights.get(key)
            if flight is None:
                self._counters.miss("memory")
                return await self._begin(key, release_id, compute).join()
            self._counters.shared()
            try:
                answer = await flight.join()
            except faults.DeadlineExceeded:
                continue
            return CacheAnswer(answer.payload, "flight")

    async def close(self) -> None:
        """Stops all flights (their callers get ``Unavailable``) and waits for what is being stored."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._writes, return_exceptions=True)
        if self._shared is not None:
            await self._shared.close()

    def _begin(
        self, key: str, release_id: str, compute: Callable[[], Awaitable[bytes]]
    ) -> Flight[CacheAnswer]:
        if self._closed:
            raise faults.Unavailable(
                "the cache is closed: the gateway is stopping", fix="ask another gateway."
            )

        def forget() -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        flight = Flight(lambda: self._answer(key, release_id, compute), forget)
        self._flights[key] = flight
        return flight

    async def _answer(
        self, key: str, release_id: str, compute: Callable[[], Awaitable[bytes]]
    ) -> CacheAnswer:
        """Asks the shared tier, computes if it must, and stores on the way back."""
        payload = await self._from_shared(key, release_id)
        if payload is not None:
            self._memory.put(key, payload, self._ttl())
            return CacheAnswer(payload, "redis")
        payload = await compute()
        self._memory.put(key, payload, self._ttl())
        self._store_later(key, seal_envelope(payload, key=key, release_id=release_id))
        return CacheAnswer(payload, "computed")

    async def _from_shared(self, key: str, release_id: str) -> bytes | None:
        if self._shared is None:
            return None
        value = await self._shared.get(key)
        payload = None if value is None else open_envelope(value, key=key, release_id=release_id)
        if payload is not None:
            self._counters.hit("redis")
            return payload
        if value is not None:
            self._counters.error("redis", "poisoned")
        self._counters.miss("redis")
        return None

    def _store_later(self, key: str, value: bytes) -> None:
        """Stores in the shared tier beside the reply's way: the shopper does not wait for it."""
        if self._shared is None:
            return
        if len(self._writes) >= _MOST_PENDING_WRITES:
            self._counters.error("redis", "busy")
            return
        write = asyncio.create_task(self._shared.put(key, value, self._ttl()))
        self._writes.add(write)  # the event loop itself keeps only weak references
        write.add_done_callback(self._writes.discard)

    def _ttl(self) -> float:
        return self._ttl_s * (1 - self._ttl_jitter * self._uniform())
