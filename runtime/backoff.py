"""When a service that died is started again: pauses that grow, scatter, and begin anew after a calm while."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart, in seconds.

    The first comes quickly since most deaths are single; a service that dies again and again is
    tried ever more rarely, but is never given up. Having run for ``stable_s`` it counts as healthy.

    Args:
        first_s: before the first restart.
        factor: by which the pauses grow.
        longest_s: they never grow beyond it.
        stable_s: a service that ran so long begins again with the first pause.
        jitter: share by which a pause is longer or shorter at random: what died together, when memory ran
            out, shall not start together.
    """

    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 30.0
    stable_s: float = 60.0
    jitter: float = 0.3

    def pause_s(self, attempt: int, uniform: float = 0.5) -> float:
        """Returns the pause before restart number ``attempt`` (1 is the first), in seconds.

        Args:
            attempt: 1 is the first.
            uniform: a random number in [0, 1); a half is no jitter.
        """
        # The exponent is bounded so that a long outage cannot overflow a float.
        pause_s = min(self.longest_s, self.first_s * self.factor ** min(max(0, attempt - 1), 64))
        return pause_s * (1 + self.jitter * (2 * uniform - 1))


USUAL = Backoff()


class Restarts:
    """The restarts in a row of one service. Time is the caller's, in seconds.

    Args:
        backoff: how long to wait.
        now: when the service came up.
        uniform: random numbers in [0, 1).
    """

    def __init__(self, backoff: Backoff, now: float, uniform: Callable[[], float] = random.random) -> None:
        self._backoff = backoff
        self._uniform = uniform
        self._up_since: float | None = now
        self.attempt = 0
        """Which restart in a row is next, or was the last."""

    def failed(self, now: float) -> float:
        """The service died, or did not start: returns the pause before the next attempt, in seconds."""
        if self._up_since is not None and now - self._up_since >= self._backoff.stable_s:
            self.attempt = 0
        self._up_since = None
        self.attempt += 1
        return self._backoff.pause_s(self.attempt, self._uniform())

    def came_up(self, now: float) -> None:
        """The service runs again."""
        self._up_since = now
