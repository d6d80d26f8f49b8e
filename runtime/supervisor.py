"""Keeps local services running: restarts the dead with growing pauses, stops all in order.

Each service has one watcher thread, and that thread is the only one that starts it again: a slow
restart of Triton does not delay the cache's. ``stop`` may interrupt a start that is under way.
No service is ever given up; every failure is told with the time of the next attempt.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from runtime.backoff import USUAL, Backoff, Restarts

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
        next_s: seconds until the next attempt, where one comes.
    """

    service: str
    kind: EventKind
    detail: str = ""
    attempt: int = 0
    next_s: float | None = None


class Supervisor:
    """Starts services in order, restarts those that die, stops them in reverse order.

    Args:
        services: in the order of starting: a service comes after those that it needs.
        on_event: told of everything; called from several threads, one call at a time.
        backoff: pauses between restarts.
        check_every_s: how often a service is asked whether it lives.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        services: Sequence[Service],
        on_event: Callable[[Event], None] = lambda _: None,
        backoff: Backoff = USUAL,
        check_every_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = tuple(services)
        self._on_event = on_event
        self._event_lock = threading.Lock()
        self._backoff = backoff
        self._check_every_s = check_every_s
        self._clock = clock
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
        restarts = Restarts(self._backoff, self._clock())
        while not self._stopping.wait(self._check_every_s):
            if not service.alive():
                pause_s = restarts.failed(self._clock())
                self._tell(Event(service.name, "died", service.last_words(), restarts.attempt - 1, pause_s))
                self._restart(service, restarts, pause_s)

    def _restart(self, service: Service, restarts: Restarts, pause_s: float) -> None:
        """Tries until the service is up or we are stopping."""
        service.stop(0.0)
        while not self._stopping.wait(pause_s):
            try:
                service.start()
            except Exception as error:  # our own bugs as well: a service is never given up
                attempt, pause_s = restarts.attempt, restarts.failed(self._clock())
                if not self._stopping.is_set():
                    self._tell(Event(service.name, "start_failed", str(error), attempt, pause_s))
                service.stop(0.0)
                continue
            restarts.came_up(self._clock())
            if self._stopping.is_set():  # stop() came too early to see this new process
                service.stop(0.0)
            else:
                self._tell(Event(service.name, "restarted", attempt=restarts.attempt))
            return

    def _tell(self, event: Event) -> None:
        # Whoever cannot listen (a closed terminal) must not end the supervision.
        with self._event_lock, contextlib.suppress(Exception):
            self._on_event(event)
