"""Redis (or Valkey) as the tier that gateways share: what is asked in one turn travels in one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from retrieval_gateway.cache.counters import CacheCounters
from retrieval_gateway.cache.lease import Lease
from retrieval_gateway.cache.redis_link import RedisLink
from retrieval_gateway.cache.redis_scripts import look_up, milliseconds, take_away
from retrieval_gateway.cache.turn_gatherer import TurnGatherer

__all__ = ["RedisTier"]

_MOST_TOGETHER = 64
"""Keys in one call. Its time limit holds for all of them, and answers may be large."""


class _Store(NamedTuple):
    key: str
    value: bytes
    ttl_s: float


class RedisTier:
    """A ``SharedTier`` on a Redis server.

    Args:
        url: ``redis://`` or ``rediss://``; may carry a password, so it is never shown.
        counters: told of each failure and its reason.
        timeout_s: limit for one call, everything included. A miss costs the shopper this much at worst.
        pause_s: how long the tier is left alone after a failure.
        max_value_bytes: larger values are not stored: they would hold up the others.
        clock: seconds, monotonic; tests pass their own.
    """

    def __init__(
        self,
        url: str,
        counters: CacheCounters,
        *,
        timeout_s: float = 0.05,
        pause_s: float = 0.5,
        max_value_bytes: int = 1 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = RedisLink(url, counters, timeout_s=timeout_s, pause_s=pause_s, clock=clock)
        self._counters = counters
        self._max_value_bytes = max_value_bytes
        self._look_ups = TurnGatherer(self._look_up, most=_MOST_TOGETHER)
        self._stores = TurnGatherer(self._store, most=_MOST_TOGETHER)

    async def get(self, key: str, lease: Lease | None = None) -> bytes | None:
        """Returns the value, or None if there is none or the server failed."""
        return await self._look_ups.submit((key, lease))

    async def put(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores a value for ``ttl_s`` seconds; False if it was not stored."""
        if len(value) > self._max_value_bytes:
            self._counters.error("redis", "too_large")
            return False
        return await self._stores.submit(_Store(key, value, ttl_s))

    async def release(self, key: str, lease: Lease) -> None:
        """Takes a lease away, unless something else lies there by now."""
        await self._link.call(lambda client: take_away(client, key, lease))

    async def close(self) -> None:
        """Closes all connections; every call after this is a miss."""
        await self._look_ups.close()
        await self._stores.close()
        await self._link.close()

    async def _look_up(self, asked: list[tuple[str, Lease | None]]) -> list[bytes | None]:
        async def values(client: Redis) -> list[bytes | None]:
            try:
                return await look_up(client, asked)
            except ResponseError:  # no scripts for this user: then without leases
                self._counters.error("redis", "refused")
                found: list[Any] = await client.mget([key for key, _ in asked])
                return found

        return await self._link.call(values) or [None] * len(asked)

    async def _store(self, stores: list[_Store]) -> list[bool]:
        async def stored(client: Redis) -> list[bool]:
            pipeline = client.pipeline(transaction=False)
            for key, value, ttl_s in stores:
                pipeline.set(key, value, px=milliseconds(ttl_s))
            outcomes = [outcome is True for outcome in await pipeline.execute(raise_on_error=False)]
            for _ in range(outcomes.count(False)):
                self._counters.error("redis", "refused")  # out of memory, read-only, …
            return outcomes

        return await self._link.call(stored) or [False] * len(stores)
