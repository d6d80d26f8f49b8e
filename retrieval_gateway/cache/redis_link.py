"""The connection to a Redis server: quick to give up, and never an error.

A cache that hangs is worse than none. So every call has a short time limit over everything
it does, name look-up and connecting included. After a failure the server is left alone for a moment,
then one call tries again while the others go on without it; when that one succeeds, the server
is back (a circuit breaker, Nygard 2007). No restart is needed, and a server that hangs costs one call
at a time, not all.

redis-py's pool disconnects a connection whose command was cancelled half-way, so that the
next user of it cannot read somebody else's answer (before 4.5.5 it could).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from retrieval_gateway.cache.counters import CacheCounters, ErrorReason

__all__ = ["RedisLink"]

_T = TypeVar("_T")
_MAX_CONNECTIONS = 64


class RedisLink:
    """Calls one server.

    Args:
        url: ``redis://`` or ``rediss://``; may carry a password, so it is never shown.
        counters: told of each failure and its reason.
        timeout_s: limit for one call, everything included.
        pause_s: how long the server is left alone after a failure.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        url: str,
        counters: CacheCounters,
        *,
        timeout_s: float,
        pause_s: float,
        clock: Callable[[], float],
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
        self._clock = clock
        self._left_alone_at: float | None = None
        self._closed = False

    async def call(self, command: Callable[[Redis], Awaitable[_T]]) -> _T | None:
        """Returns the command's answer, or None if the server failed or is left alone."""
        if not self._may_try():
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await command(self._client)
        except MaxConnectionsError:
            self._counters.error("redis", "busy")  # our own limit: the server is not to blame, no pause
            return None
        except ResponseError:
            # It answers, so it is there: read-only, no permission, …
            self._counters.error("redis", "refused")
            answer = None
        except (RedisError, OSError) as error:
            self._left_alone_at = self._clock()
            self._counters.error("redis", _reason(error))
            return None
        self._left_alone_at = None
        return answer

    async def close(self) -> None:
        """Closes all connections; every call after this gets None."""
        self._closed = True
        await self._client.aclose()

    def _may_try(self) -> bool:
        """Lets every call through while all is well, and one a pause after a failure."""
        if self._closed:
            return False
        if self._left_alone_at is None:
            return True
        now = self._clock()
        if 0 <= now - self._left_alone_at < self._pause_s:  # a clock that went back ends the pause
            return False
        # This call is the one that tries; the others wait for another pause or its success.
        self._left_alone_at = now
        return True


def _reason(error: BaseException) -> ErrorReason:
    return "timeout" if isinstance(error, RedisTimeoutError | TimeoutError) else "connection"
