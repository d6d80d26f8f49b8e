"""Redis (or Valkey) as the tier that gateways share: quick to give up, and never an error.

A cache that hangs is worse than none. So every call has a short time limit over everything
it does, name look-up and connecting included. After a failure the tier is left alone for a moment,
then one caller tries again while the others go on without it; when that one succeeds, the tier
is back. No restart is needed, and a server that hangs costs one caller at a time, not all.

redis-py's pool disconnects a connection whose command was cancelled half-way, so that the
next user of it cannot read somebody else's answer (before 4.5.5 it could).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from retrieval_gateway.cache.counters import CacheCounters, ErrorReason

__all__ = ["RedisTier"]

_T = TypeVar("_T")
_MAX_CONNECTIONS = 64


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
        self._client = Redis.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # trying again within a request only makes a miss slower
            decode_responses=False,
        )
        self._counters = counters
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._paused_until: float | None = None
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """Returns the value, or None if there is none or the server failed."""
        value = await self._call(lambda: self._client.get(key))
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores a value for ``ttl_s`` seconds; False if it was not stored."""
        if len(value) > self._max_value_bytes:
            self._counters.error("redis", "too_large")
            return False
        milliseconds = max(1, round(ttl_s * 1000))
        return bool(await self._call(lambda: self._client.set(key, value, px=milliseconds)))

    async def close(self) -> None:
        """Closes all connections; every call after this is a miss."""
        self._closed = True
        await self._client.aclose()

    async def _call(self, command: Callable[[], Awaitable[_T]]) -> _T | None:
        if not self._may_try():
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await command()
        except MaxConnectionsError:
            self._counters.error("redis", "busy")  # our own limit: the server is not to blame, no pause
            return None
        except ResponseError:
            self._counters.error(
                "redis", "refused"
            )  # it answers, so it is there: out of memory, read-only, …
            answer = None
        except (RedisError, OSError) as error:
            self._paused_until = self._clock() + self._pause_s
            self._counters.error("redis", _reason(error))
            return None
        self._paused_until = None
        return answer

    def _may_try(self) -> bool:
        """Lets everyone through while all is well, and one caller a pause after a failure."""
        if self._closed:
            return False
        if self._paused_until is None:
            return True
        if self._clock() < self._paused_until:
            return False
        # This caller is the one that tries; the others wait for another pause or its success.
        self._paused_until = self._clock() + self._pause_s
        return True


def _reason(error: BaseException) -> ErrorReason:
    return "timeout" if isinstance(error, RedisTimeoutError | TimeoutError) else "connection"
