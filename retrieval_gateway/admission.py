"""Admission: how many requests may be in work at once.

Our own count, because grpc.aio's maximum_concurrent_rpcs can be passed by (grpc#41531),
and because a refusal must come with a status and a time to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from faults import Overloaded, Unavailable
from retrieval_gateway.metrics import Metrics

_RETRY_AFTER_S = 0.1
_IDLE_POLL_S = 0.02


class Admission:
    """Counts the requests in work; used from one event loop."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._in_work = 0
        self._draining = False

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """Holds a place for one request.

        Raises:
            Overloaded: all places are taken.
            Unavailable: the gateway is shutting down.
        """
        if self._draining:
            raise Unavailable("the gateway is shutting down", fix="Ask another gateway.", retry_after_s=1.0)
        if self._in_work >= self._limit:
            raise Overloaded(
                f"{self._in_work} requests are in work",
                field="VITRINE_MAX_CONCURRENT_REQUESTS",
                value=self._limit,
                fix="Try again shortly.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._in_work += 1
        self._metrics.in_flight.set(self._in_work)
        try:
            yield
        finally:
            self._in_work -= 1
            self._metrics.in_flight.set(self._in_work)

    def drain(self) -> None:
        """Refuses new requests from now on; those in work go on."""
        self._draining = True

    async def idle(self) -> None:
        """Returns when no request is in work."""
        while self._in_work:
            await asyncio.sleep(_IDLE_POLL_S)
