"""A gateway under load in virtual time: Poisson arrivals, the real admission, a service with a queue.

Discrete events on a heap; no wall clock and no randomness but a seeded one, so every run is the same.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from faults import Overloaded
from retrieval_gateway import deadline
from retrieval_gateway.admission import Admission
from retrieval_gateway.metrics import Metrics


@dataclass(frozen=True)
class Service:
    """What computes: ``calls`` at once, each with up to ``rows`` requests, in order of arrival.

    ``seconds`` of a call depend on its rows; with ``spread`` they are exponentially distributed.
    """

    seconds: Callable[[int], float]
    calls: int = 2
    rows: int = 1
    spread: bool = False

    @property
    def capacity(self) -> float:
        """Requests a second where calls are always full."""
        return self.calls * self.rows / self.seconds(self.rows)


class _Request:
    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.ended = False
        self.place = contextlib.ExitStack()


class Gateway:
    """One run.

    Args:
        service: behind the gateway.
        offered: requests a second.
        deadline_s: that every caller gives.
        admission_of: makes the admission for a clock; None admits everybody.
        stalled: from when to when the service finishes nothing.
    """

    def __init__(
        self,
        service: Service,
        offered: float,
        deadline_s: float = 2.0,
        admission_of: Callable[[Callable[[], float]], Admission] | None = None,
        stalled: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.now = 0.0
        self.good: list[float] = []
        """When each request was answered in time."""
        self.limits: list[tuple[float, int]] = []
        """At each arrival, when it was and the limit in force."""
        self._service, self._offered, self._deadline_s = service, offered, deadline_s
        self._admission = admission_of(lambda: self.now) if admission_of else None
        self._stalled = stalled
        self._random = random.Random(7)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: deque[_Request] = deque()
        self._calls = 0

    def run(self, until: float) -> Gateway:
        """Runs so many seconds."""
        self._arrive_later()
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        return self

    def goodput(self, since: float) -> float:
        """Answers in time a second, from ``since`` to now."""
        return sum(at >= since for at in self.good) / (self.now - since)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _arrive_later(self) -> None:
        self._at(self.now + self._random.expovariate(self._offered), self._arrive)

    def _arrive(self) -> None:
        self._arrive_later()
        request = _Request(self.now)
        if self._admission is not None:
            self.limits.append((self.now, self._admission.limit))
            try:
                request.place.enter_context(self._admission.compute())
            except Overloaded:
                return
        self._queue.append(request)
        self._at(self.now + self._deadline_s, lambda: self._end(request, late=True))
        self._launch()

    def _end(self, request: _Request, *, late: bool) -> None:
        if request.ended:
            return
        request.ended = True
        with (
            deadline.due(request.arrived + self._deadline_s),
            contextlib.suppress(TimeoutError),
            request.place,
        ):
            if late:
                raise TimeoutError
            self.good.append(self.now)

    def _launch(self) -> None:
        while self._calls < self._service.calls and self._queue:
            batch = []
            while self._queue and len(batch) < self._service.rows:
                request = self._queue.popleft()
                if not request.ended:  # as the gatherer drops rows that nobody waits for
                    batch.append(request)
            if batch:
                self._calls += 1
                self._at(self._finish(len(batch)), lambda batch=batch: self._answered(batch))

    def _finish(self, rows: int) -> float:
        seconds = self._service.seconds(rows)
        if self._service.spread:
            seconds = self._random.expovariate(1 / seconds)
        end = self.now + seconds
        return self._stalled[1] + seconds if self._stalled[0] <= end < self._stalled[1] else end

    def _answered(self, batch: list[_Request]) -> None:
        self._calls -= 1
        for request in batch:
            self._end(request, late=False)
        self._launch()


def adaptive(most: int = 256) -> Callable[[Callable[[], float]], Admission]:
    """The gateway's own admission."""
    return lambda clock: Admission(most, Metrics(), clock)
