"""Looks whether the shared cache answers, so that its loss shows without anybody searching.

The cache itself goes on without its shared tier and never says so; whoever runs it wants to know.
"""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from retrieval_gateway.degraded import Degraded

_LOOK_EVERY_S = 2.0
_TIMEOUT_S = 1.0


class CacheWatch:
    """Pings the server that gateways share, over a connection of its own.

    Args:
        url: ``redis://`` or ``rediss://``; may carry a password, so it is never shown.
        degraded: told of ``cache``.
        interval_s: pause between two looks.
    """

    def __init__(self, url: str, degraded: Degraded, interval_s: float = _LOOK_EVERY_S) -> None:
        self._client = Redis.from_url(
            url,
            max_connections=1,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._degraded = degraded
        self._interval_s = interval_s

    async def run(self) -> None:
        """Looks until cancelled."""
        try:
            while True:
                self._degraded.lacks("cache", not await self._answers())
                await asyncio.sleep(self._interval_s)
        finally:
            await self._client.aclose()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return bool(await self._client.ping())
        except (RedisError, OSError):
            return False
