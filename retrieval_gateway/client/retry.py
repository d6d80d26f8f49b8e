"""When a failed call is made again: only where that is safe, in time, and within a budget.

Back-off and budget follow gRFC A6 (gRPC Retry Design): pauses grow by a factor and are jittered, and
retries stop altogether while too many calls fail, so that clients do not bury a fleet that is down
already. Unlike A6, what a gateway says of when to come back is read from ``google.rpc.RetryInfo``.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from faults import Overloaded, Unavailable, VitrineError

__all__ = ["NO_RETRIES", "Attempts", "RetryBudget", "RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long to wait in between.

    Args:
        attempts: of one call, the first included; 1 for no retry.
        first_s: pause before the second attempt, in seconds.
        factor: by which the pauses grow.
        longest_s: they never grow beyond it; only a gateway may ask for more.
        jitter: share by which a pause is longer or shorter at random: callers that failed together
            shall not come back together.
        budget_tokens: see ``RetryBudget``.
        budget_ratio: see ``RetryBudget``.
    """

    attempts: int = 4
    first_s: float = 0.05
    factor: float = 2.0
    longest_s: float = 1.0
    jitter: float = 0.2
    budget_tokens: float = 10.0
    budget_ratio: float = 0.1

    def budget(self) -> RetryBudget:
        """Returns a full budget."""
        return RetryBudget(self.budget_tokens, self.budget_ratio)

    def pause_s(self, failed: int, retry_after_s: float, uniform: float) -> float:
        """Returns the pause after so many failed attempts, in seconds.

        Args:
            failed: attempts so far, at least 1.
            retry_after_s: what the gateway asked for: it is never shortened.
            uniform: a random number in [0, 1).
        """
        own = min(self.longest_s, self.first_s * self.factor ** (failed - 1))
        if retry_after_s > own:
            return retry_after_s * (1 + self.jitter * uniform)
        return own * (1 + self.jitter * (2 * uniform - 1))


NO_RETRIES = RetryPolicy(attempts=1)


class RetryBudget:
    """The token bucket of gRFC A6: all calls of one client share it. Safe to use from several threads.

    Args:
        tokens: what it holds at most, and at first. Each failure takes one.
        ratio: what a success puts back. Retries are allowed while more than half is left, so that in
            the long run at most this share of calls is retried.
    """

    def __init__(self, tokens: float, ratio: float) -> None:
        self._most = tokens
        self._ratio = ratio
        self._left = tokens
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        """Counts a call that was answered."""
        with self._lock:
            self._left = min(self._most, self._left + self._ratio)

    def failed(self) -> bool:
        """Counts a failure; returns whether it may be retried."""
        with self._lock:
            self._left = max(0.0, self._left - 1)
            return self._left > self._most / 2


class Attempts:
    """One call's attempts, from its start to its deadline.

    Args:
        policy: how often and when.
        budget: the client's.
        timeout_s: for all attempts and pauses together.
        safe: whether the call changes nothing, so that it may be made twice.
        clock: seconds, monotonic.
        uniform: random numbers in [0, 1).
    """

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget,
        timeout_s: float,
        *,
        safe: bool = True,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._uniform = uniform
        self._safe = safe
        self._due = clock() + timeout_s
        self._failed = 0

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._due - self._clock())

    def succeeded(self) -> None:
        """The call was answered."""
        self._budget.succeeded()

    def pause_after(self, fault: VitrineError) -> float | None:
        """Counts a failed attempt; returns the seconds to wait before the next, None if there is none."""
        if not isinstance(fault, Unavailable | Overloaded):
            return None
        self._failed += 1
        within_budget = self._budget.failed()
        if not (self._safe and within_budget and self._failed < self._policy.attempts):
            return None
        if isinstance(fault, Overloaded) and not fault.retry_after_s:
            return None  # to ask again who refuses work and names no time is how overload is kept up
        pause_s = self._policy.pause_s(self._failed, fault.retry_after_s, self._uniform())
        return pause_s if pause_s < self.left_s else None
