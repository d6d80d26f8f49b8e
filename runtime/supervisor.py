"""Keeps local services running: restarts the dead with growing pauses, stops all in order.

Each service has one watcher thread, and that thread is the only one that starts it again: a slow
restart of Triton does not delay the cache's. ``stop`` may interrupt a start that is under way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from faults import VitrineError

EventKind = Literal["started", "died", "restarted", "start_failed", "stopped"]


class Service(Protocol):
    """What the supervisor can look after."""

    @property
    def name(self) -> str:
        """For messages and events."""

    def start(self) -> None:
        """Starts and returns when ready to serve; raises a VitrineError and leaves nothing behind."""

    def alive(self) -> bool:
        """Cheap: whether the process is there. Called twice a second."""

    def stop(self, grace_s: float) -> None:
        """Stops within about ``grace_s`` seconds and removes what a crash left; harmless if repeated."""

    def last_words(self) -> str:
        """The end of the log, for the event that reports a death."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a service.

    Args:
        service: its name.
        kind: what happened.
        detail: why, where known: an error's text or the end of the log.
        attempt: consecutive restarts so far, this one included; 0 for a first start.
    """

    service: str
    kind: EventKind
    detail: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart, in seconds.

    The first comes quickly since most deaths are single; a service that dies again and again is
    tried ever more rarely, but is never given up. Having run for ``stable_s`` it counts as healthy.
    """

    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 30.0
    stable_s: float = 60.0

    def pause_s(self, attempt: int) -> float:
        """Returns the pause before restart number ``attempt`` (1 is the first), in seconds."""
        # The exponent is bounded so that a long outage cannot overflow a float.
        return min(self.longest_s, self.first_s * self.factor ** min(max(0, attempt - 1), 64))


class Supervisor:
    """Starts services in order, restarts those that die, stops them in reverse order.

    Args:
        services: in the order of starting: a service comes after those that it needs.
        on_event: told of everything; called from several threads, one call at a time.
        backoff: pauses between restarts.
        check_every_s: how often a service is asked whether it lives.
    """

    def __init__(
        self,
        services: Sequence[Service],
        on_event: Callable[[Event], None] = lambda _: None,
        backoff: Backoff = Backoff(),
        check_every_s: float = 0.5,
    ) -> None:
        self._services = tuple(services)
        self._on_event = on_event
        self._event_lock = threading.Lock()
        self._backoff = backoff
        self._check_every_s = check_every_s
        self._stopping = threading.Event()
        self._watchers: list[threading.Thread] = []

    def start(self) -> None:
        """Starts all services, each after the one before is ready, and watches them from then on.

        Raises:
            VitrineError: the first service that did not start said so; those before it are stopped.
        """
        for service in self._services:
            try:
                service.start()
            except BaseException:
                self.stop()
                raise
            self._tell(Event(service.name, "started"))
            watcher = threading.Thread(
                target=self._watch, args=(service,), name=f"watch-{service.name}", daemon=True
            )
            self._watchers.append(watcher)
            watcher.start()

    def stop(self, within_s: float = 9.0) -> None:
        """Stops all services in reverse order, in ``within_s`` seconds all together; idempotent."""
        self._stopping.set()
        deadline = time.monotonic() + within_s
        started = len(self._watchers)
        for position, service in reversed(list(enumerate(self._services))):
            left_s = max(0.0, deadline - time.monotonic())
            service.stop(left_s / (position + 1))
            if position < started:
                self._tell(Event(service.name, "stopped"))
        for watcher in self._watchers:
            watcher.join(max(0.1, deadline - time.monotonic()))
        self._watchers.clear()

    def _watch(self, service: Service) -> None:
        attempt, healthy_since = 0, time.monotonic()
        while not self._stopping.wait(self._check_every_s):
            if service.alive():
                continue
            if time.monotonic() - healthy_since >= self._backoff.stable_s:
                attempt = 0
            self._tell(Event(service.name, "died", service.last_words(), attempt))
            attempt = self._restart(service, attempt)
            healthy_since = time.monotonic()

    def _restart(self, service: Service, attempt: int) -> int:
        """Tries until the service is up or we are stopping; returns the number of attempts so far."""
        while True:
            attempt += 1
            service.stop(0.0)
            if self._stopping.wait(self._backoff.pause_s(attempt)):
                return attempt
            try:
                service.start()
            except VitrineError as error:
                if not self._stopping.is_set():
                    self._tell(Event(service.name, "start_failed", str(error), attempt))
                continue
            if self._stopping.is_set():  # stop() came too early to see this new process
                service.stop(0.0)
            else:
                self._tell(Event(service.name, "restarted", attempt=attempt))
            return attempt

    def _tell(self, event: Event) -> None:
        with self._event_lock:
            self._on_event(event)
