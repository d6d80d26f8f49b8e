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
from retrieval_gateway.cache.flight import Flight
from retrieval_gateway.cache.hottest import Hot
from retrieval_gateway.cache.key import release_prefix
from retrieval_gateway.cache.memory import MemoryTier
from retrieval_gateway.cache.popularity import Popularity
from retrieval_gateway.cache.shared_answers import SharedAnswers
from retrieval_gateway.cache.shared_tier import SharedTier

__all__ = ["CacheAnswer", "ResponseCache", "Source"]

Source = Literal["memory", "redis", "flight", "computed"]


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
        counters: told of hits, misses, failures, shared flights and waiting.
        popularity: what is asked how often, the same that ``memory`` admits by; None counts nothing.
        ttl_s: how long an answer is kept. Releases never change, so this bounds memory, not staleness.
        ttl_jitter: share of the TTL taken off at random, so that answers that were made together
            (at a release switch) do not expire together.
        lease_s: how long a gateway may compute an answer for all gateways, and the longest that one waits
            for another; 0: every gateway computes for itself.
        uniform: random numbers in [0, 1); tests pass their own.
    """

    def __init__(
        self,
        memory: MemoryTier,
        shared: SharedTier | None,
        counters: CacheCounters,
        *,
        popularity: Popularity | None = None,
        ttl_s: float = 3600.0,
        ttl_jitter: float = 0.1,
        lease_s: float = 0.2,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._memory = memory
        self._shared = None if shared is None else SharedAnswers(shared, counters, lease_s=lease_s)
        self._counters = counters
        self._popularity = popularity
        self._ttl_s = ttl_s
        self._ttl_jitter = ttl_jitter
        self._uniform = uniform
        self._flights: dict[str, Flight[CacheAnswer]] = {}
        self._closed = False

    @property
    def under_way(self) -> int:
        """Computations and look-ups under way."""
        return len(self._flights)

    async def get_or_compute(
        self,
        key: str,
        release_id: str,
        compute: Callable[[], Awaitable[bytes]],
        *,
        replay: object = None,
        budget_s: float | None = None,
    ) -> CacheAnswer:
        """Returns the answer to a key, computing it at most once however many ask at the same time.

        What ``compute`` raises reaches everyone who waits for it and is not cached. One error is
        different: the deadline of the caller who began a computation is not the deadline of
        those who joined, so they start over instead of failing with it.

        Args:
            key: from ``cache_key``.
            release_id: the release that the key was made for.
            compute: makes the reply; run in a task of its own.
            replay: what ``hottest`` hands out to ask this request again, of any release. It is kept:
                give None for a request that is large (a picture).
            budget_s: time that this caller has left, or None. At most half of it goes into the shared tier.

        Raises:
            faults.Unavailable: the cache was closed meanwhile.
        """
        if self._popularity is not None:
            self._popularity.saw(key, replay)
        while True:
            payload = self._memory.get(key)
            if payload is not None:
                self._counters.hit("memory")
                return CacheAnswer(payload, "memory")
            flight = self._flights.get(key)
            if flight is None:
                self._counters.miss("memory")
                return await self._begin(key, release_id, compute, budget_s).join()
            self._counters.shared()
            try:
                answer = await flight.join()
            except faults.DeadlineExceeded:
                continue
            return CacheAnswer(answer.payload, "flight")

    def hottest(self, n: int) -> list[Hot]:
        """Returns at most ``n`` of the requests that are asked most, the hottest first (``prewarm``)."""
        return [] if self._popularity is None else self._popularity.hottest(n)

    def forget_release(self, release_id: str) -> None:
        """Frees the memory of a release that no longer serves. In the shared tier its answers expire."""
        self._memory.forget(release_prefix(release_id))

    async def close(self) -> None:
        """Stops all flights (their callers get ``Unavailable``) and waits for what is being stored."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._shared is not None:
            await self._shared.close()

    def _begin(
        self,
        key: str,
        release_id: str,
        compute: Callable[[], Awaitable[bytes]],
        budget_s: float | None,
    ) -> Flight[CacheAnswer]:
        if self._closed:
            raise faults.Unavailable(
                "the cache is closed: the gateway is stopping", fix="ask another gateway."
            )

        def forget() -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        flight = Flight(lambda: self._answer(key, release_id, compute, budget_s), forget)
        self._flights[key] = flight
        return flight

    async def _answer(
        self,
        key: str,
        release_id: str,
        compute: Callable[[], Awaitable[bytes]],
        budget_s: float | None,
    ) -> CacheAnswer:
        """Asks the shared tier or computes, and keeps the answer in memory."""
        payload: bytes
        source: Literal["redis", "computed"] = "computed"
        if self._shared is None:
            payload = await compute()
        else:
            payload, source = await self._shared.answer(
                key, release_id, compute, ttl_s=self._ttl(), budget_s=budget_s
            )
        if not self._memory.put(key, payload, self._ttl()):
            self._counters.not_admitted()
        return CacheAnswer(payload, source)

    def _ttl(self) -> float:
        return self._ttl_s * (1 - self._ttl_jitter * self._uniform())
