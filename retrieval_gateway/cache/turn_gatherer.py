"""Gathers what is asked in one turn of the event loop into one call.

Calling Redis costs tens of microseconds of this process's time, whatever is asked; asking for one
more key in the same call costs a few. Under load many requests become ready in one turn, and they
travel together. A lone one leaves with the next turn: it waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["TurnGatherer"]

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_Waiting = list[tuple[_Item, "asyncio.Future[_Answer]"]]


class TurnGatherer(Generic[_Item, _Answer]):
    """Used from one event loop.

    Args:
        call: answers items, in their order, within a bounded time.
        most: items in one call; more are several calls at once.
    """

    def __init__(
        self, call: Callable[[list[_Item]], Coroutine[Any, Any, Sequence[_Answer]]], *, most: int
    ) -> None:
        self._call = call
        self._most = most
        self._waiting: _Waiting[_Item, _Answer] = []
        self._calls: dict[asyncio.Task[Sequence[_Answer]], list[asyncio.Future[_Answer]]] = {}

    async def submit(self, item: _Item) -> _Answer:
        """Returns the item's answer. A caller who is cancelled takes nothing from those who travel along."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._leave)
        self._waiting.append((item, answer))
        return await answer

    async def close(self) -> None:
        """Waits for the calls under way: one that is stopped while it connects would leave a socket open."""
        self._leave()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _leave(self) -> None:
        waiting = [(item, answer) for item, answer in self._waiting if not answer.done()]
        self._waiting = []
        for start in range(0, len(waiting), self._most):
            self._start(waiting[start : start + self._most])

    def _start(self, together: _Waiting[_Item, _Answer]) -> None:
        items = [item for item, _ in together]
        call = asyncio.create_task(self._call(items))
        self._calls[call] = [answer for _, answer in together]  # the event loop itself keeps no reference
        call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[Sequence[_Answer]]) -> None:
        """Runs however the call ended, even if the loop stopped it before its first step."""
        waiting = self._calls.pop(call)
        if call.cancelled():
            for answer in waiting:
                answer.cancel()
            return
        error = call.exception()
        found: Sequence[_Answer | None] = [None] * len(waiting) if error else call.result()
        for answer, value in zip(waiting, found, strict=True):
            _settle(answer, value, error)


def _settle(answer: asyncio.Future[_Answer], value: Any, error: BaseException | None) -> None:
    if answer.done():  # its caller has left
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
