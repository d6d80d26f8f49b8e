"""Times coroutines in turns, in CPU seconds of this process: another process's work is not in it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

__all__ = ["cpu_us"]

Turn = Callable[[], Awaitable[int]]
"""Does a number of things and returns how many."""


async def cpu_us(contenders: Mapping[str, Turn], rounds: int) -> dict[str, float]:
    """Returns the median CPU time of one thing in microseconds; all contenders take turns in each round."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, turn in contenders.items():
            began = time.process_time()
            things = await turn()
            spent[name].append((time.process_time() - began) / things * 1e6)
    return {name: statistics.median(times) for name, times in spent.items()}
