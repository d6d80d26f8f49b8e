"""How often something may happen: a token bucket."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Lets ``rate`` events a second through on average, and ``burst`` at once after a rest.

    The bucket is refilled when it is asked, so it needs no timer. Used from one thread.

    Args:
        rate: tokens that come back each second.
        burst: most tokens it holds; it begins full.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def take(self) -> float:
        """Takes one token; returns 0, or the seconds until there is one and takes none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self.rate
        self._tokens -= 1.0
        return 0.0
