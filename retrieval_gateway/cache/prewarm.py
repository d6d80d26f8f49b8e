"""Asks the hottest requests of a new release before it serves, so that the switch is not a storm of misses.

It is a courtesy, not a condition: it ends after a bounded time whatever is left, an answer that fails is
passed over, and while shoppers' own requests wait for the machine it waits too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval_gateway.cache.hottest import Hot

__all__ = ["Prewarmed", "prewarm"]

_YIELD_S = 0.005


@dataclass(slots=True)
class Prewarmed:
    """What became of the entries: the three numbers add up to how many were given.

    ``problem`` is the first failure, or "".
    """

    left: int
    answered: int = 0
    failed: int = 0
    problem: str = ""


async def prewarm(
    entries: Sequence[Hot],
    compute: Callable[[Any], Awaitable[object]],
    *,
    concurrency: int = 2,
    limit_s: float = 0.5,
    busy: Callable[[], bool] = lambda: False,
) -> Prewarmed:
    """Replays requests, the hottest first, and returns what became of them.

    Args:
        entries: from ``ResponseCache.hottest``.
        compute: answers one request by its replay token, through ``get_or_compute`` of the new release.
        concurrency: requests at once.
        limit_s: time for all; those under way are then cancelled.
        busy: asked before each request; while it says True, nothing is begun.
    """
    done = Prewarmed(left=len(entries))
    waiting = iter(entries)

    async def replay_one_after_another() -> None:
        for hot in waiting:
            while busy():
                await asyncio.sleep(_YIELD_S)
            try:
                await compute(hot.replay)
            except (
                Exception
            ) as error:  # a product that is gone, a tower that is not ready: live requests tell
                done.failed += 1
                done.problem = done.problem or str(error)
            else:
                done.answered += 1
            done.left -= 1
            await asyncio.sleep(0)  # even answers that need no waiting let others have their turn

    try:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(replay_one_after_another())
    except TimeoutError:
        pass
    return done
