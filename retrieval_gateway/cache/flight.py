"""One computation that several callers wait for.

The computation runs in a task of its own. It belongs to all who wait: a caller who hangs up
does not take it from the others, and when the last one is gone it is cancelled, because an
answer that nobody waits for is work that somebody else could have had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import faults

__all__ = ["Flight"]

_T = TypeVar("_T")


class Flight(Generic[_T]):
    """A computation under way.

    Args:
        compute: what to compute; started at once.
        on_end: called once when the flight takes no more passengers: it has ended, or been given up.
    """

    def __init__(self, compute: Callable[[], Awaitable[_T]], on_end: Callable[[], None]) -> None:
        self._result: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._on_end = on_end
        self._open = True
        self._waiting = 0
        self.task = asyncio.create_task(self._fly(compute))
        self.task.add_done_callback(self._landed)

    async def join(self) -> _T:
        """Waits for the result; raises what the computation raised."""
        self._waiting += 1
        try:
            # A shield: cancelling this caller must not cancel what the others wait for.
            return await asyncio.shield(self._result)
        finally:
            self._waiting -= 1
            if not self._waiting and not self._result.done():
                self._end()
                self.task.cancel()

    async def _fly(self, compute: Callable[[], Awaitable[_T]]) -> None:
        try:
            result = await compute()
        except Exception as error:  # handed on to every caller
            self._fail(error)
        else:
            self._end()
            self._result.set_result(result)

    def _landed(self, _: asyncio.Task[None]) -> None:
        """Sees to a task that was cancelled, even before its first step: those who wait were not."""
        if not self._result.done():
            self._fail(faults.Unavailable("the computation was stopped before it had an answer"))

    def _fail(self, error: Exception) -> None:
        self._end()
        self._result.set_exception(error)
        self._result.exception()  # retrieved here: nobody may be left to do so

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._on_end()
