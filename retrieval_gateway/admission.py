"""Admission: who may come in, and who may have something computed.

Our own counts, because grpc.aio's maximum_concurrent_rpcs can be passed by (grpc#41531),
and because a refusal must come with a status and a time to come back.

There are two doors. Every request passes the first, which only bounds memory. The second stands
before the computation, behind the cache, and its width adapts to what the machine does in time: so
answers that are cached, or shared with another caller's computation, are refused last.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from faults import Overloaded, Unavailable
from retrieval_gateway import deadline
from retrieval_gateway.adaptive_limit import AdaptiveLimit
from retrieval_gateway.metrics import Metrics

_INSIDE = 4
"""Requests inside for each that may compute: those that wait for an answer of the cache or of others."""
_RETRY_AFTER_S = 0.1
_IDLE_POLL_S = 0.02


class Admission:
    """Counts the requests inside and the computations; used from one event loop.

    Args:
        most: computations at once, whatever the limit learns.
        metrics: where the requests inside are shown.
        clock: seconds, monotonic, the one of deadlines.
    """

    def __init__(self, most: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_inside = _INSIDE * most
        self._limit = AdaptiveLimit(most, clock)
        self._metrics = metrics
        self._clock = clock
        self._inside = 0
        self._computing = 0
        self._draining = False

    @property
    def limit(self) -> int:
        """Computations that may be under way now."""
        return int(self._limit)

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Counts a request while it is inside.

        Raises:
            Overloaded: too many are inside.
            Unavailable: the gateway is shutting down.
        """
        if self._draining:
            raise Unavailable("the gateway is shutting down", fix="Ask another gateway.", retry_after_s=1.0)
        if self._inside >= self._most_inside:
            raise self._overloaded(f"{self._inside} requests are inside")
        self._inside += 1
        self._metrics.in_flight.set(self._inside)
        try:
            yield
        finally:
            self._inside -= 1
            self._metrics.in_flight.set(self._inside)

    @contextlib.contextmanager
    def compute(self) -> Iterator[None]:
        """Holds a place for one computation.

        Raises:
            Overloaded: more could not be answered in time.
        """
        if self._computing >= int(self._limit):
            self._limit.refused()
            raise self._overloaded(f"{self._computing} searches are being computed, as many as end in time")
        began = self._clock()
        self._computing += 1
        answered = False
        try:
            yield
            answered = True
        finally:
            self._computing -= 1
            self._learn(began, answered)

    def _learn(self, began: float, answered: bool) -> None:
        """What failed early says nothing about how busy the machine is; what was too late says a lot."""
        due = deadline.current()
        if due is not None and (answered or self._clock() >= due):
            self._limit.ended(self._clock() - began, due - began)

    def _overloaded(self, problem: str) -> Overloaded:
        return Overloaded(
            problem, fix="Try again shortly.", retry_after_s=max(_RETRY_AFTER_S, self._limit.latency)
        )

    def drain(self) -> None:
        """Refuses new requests from now on; those inside go on."""
        self._draining = True

    async def idle(self) -> None:
        """Returns when no request is inside."""
        while self._inside:
            await asyncio.sleep(_IDLE_POLL_S)
