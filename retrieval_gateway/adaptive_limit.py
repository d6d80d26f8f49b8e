"""How many computations may be under way, found by watching how long they take.

More in work than the machine needs to stay busy only wait, and those that wait past their deadline
are work for nobody: a fixed bound that suits a fast tower lets a slow one drown. This is the gradient
rule of Netflix's concurrency-limits (``GradientLimit``, https://github.com/Netflix/concurrency-limits):
each window, ``limit <- limit x target / latency + room``, with the quotient between 1/2 and 1. Two things
differ. The target is not a multiple of the latency without load, since gathering rows makes calls longer
and the throughput higher; it is a share of the time that callers give. And the latency is
the mean over the work found at a random moment (weighted by its own length), so that a crowd of
quick answers does not hide that the slow ones starve. tests/retrieval_gateway/test_overload.py shows
what it reaches on services of several speeds, and that a fixed bound does not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

_TARGET = 0.7
"""Share of the callers' time that a computation may take; the rest is for what varies."""
_FEWEST = 8
"""Answers that a window needs before it says anything."""
_SHORTEST_S = 0.1
_STEEPEST = 0.5
_FIRST = 96
"""A gateway that just started should not refuse a crowd; if it is slow, a few windows tell."""
_LEAST = 4
"""The limit never falls below: somebody must be served, or nothing is learnt."""


class AdaptiveLimit:
    """Says how many may be in work; used from one thread.

    Args:
        most: the limit never rises above.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._least = min(_LEAST, most)
        self._clock = clock
        self._limit = float(min(_FIRST, most))
        self.latency = 0.0
        """Seconds that the work found at a random moment of the last window takes."""
        self._begin()

    def __int__(self) -> int:
        return int(self._limit)

    def refused(self) -> None:
        """Somebody came and found no place: only then is there a reason to grow."""
        self._binding = True

    def ended(self, elapsed: float, budget: float) -> None:
        """Takes note of a computation that was answered, or was not in time.

        Args:
            elapsed: seconds that it took, waiting included.
            budget: seconds that it had.
        """
        self._budgets.append(budget)
        self._elapsed += elapsed
        self._squares += elapsed * elapsed
        latency = self._squares / self._elapsed if self._elapsed else 0.0
        # No faster than the answers come that show what the last change did.
        if len(self._budgets) >= _FEWEST and self._clock() - self._began >= max(_SHORTEST_S, latency):
            self.latency = latency
            self._adjust(_TARGET * statistics.median(self._budgets))
            self._begin()

    def _adjust(self, target: float) -> None:
        if self.latency > target:
            changed = self._limit * max(_STEEPEST, target / self.latency) + 1.0
        elif self._binding:  # the further from the target, the faster: half as much again at most
            changed = self._limit + 1.0 + self._limit * (1.0 - self.latency / target) / 2
        else:
            return
        self._limit = min(float(self._most), max(float(self._least), changed))

    def _begin(self) -> None:
        self._began = self._clock()
        self._binding = False
        self._elapsed = self._squares = 0.0
        self._budgets: list[float] = []
