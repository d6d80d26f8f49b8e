"""When the answer to the request in work is due, for whoever works on it.

A context variable, so that the deadline need not pass through every signature between the
handler and the calls of Triton and Redis. A task that is started copies it: what is computed
for several callers has the deadline of the one who began it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

_due: ContextVar[float | None] = ContextVar("due", default=None)


def current() -> float | None:
    """Returns the deadline on ``time.monotonic``'s clock, in seconds; None where there is none."""
    return _due.get()


@contextlib.contextmanager
def due(at: float | None) -> Iterator[None]:
    """Sets the deadline of the block, in seconds on ``time.monotonic``'s clock; None for no deadline."""
    token = _due.set(at)
    try:
        yield
    finally:
        _due.reset(token)


def remaining() -> float | None:
    """Returns the seconds that are left, at least 0; None where there is no deadline."""
    at = _due.get()
    return None if at is None else max(0.0, at - time.monotonic())


def at_most(seconds: float) -> float:
    """Returns ``seconds``, or what is left where that is less: the time limit of a call to others."""
    left = remaining()
    return seconds if left is None else min(seconds, left)
