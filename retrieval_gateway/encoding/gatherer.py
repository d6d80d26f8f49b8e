"""Gathers concurrent queries into few calls of a tower; a lone query waits for nobody.

While fewer calls are in flight than allowed, a row leaves at once. Otherwise rows wait,
and when a call returns the waiting ones leave together. So the batch grows with the load
by itself, and no timer delays anybody.

Rows keep the deadline they came with: one that is over does not leave any more, a call has
the time of the row that has most, and a call that nobody waits for is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from faults import DeadlineExceeded, InvalidInput
from retrieval_gateway import deadline

Row = TypeVar("Row")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Row, Result]):
    row: Row
    done: asyncio.Future[Result]
    due: float | None


class Gatherer(Generic[Row, Result]):
    """Owner of the rows that wait for one tower. Used from one event loop only.

    Args:
        call: runs the tower on some rows and returns one result a row, in order.
        rows: most rows of one call.
        calls: most calls in flight.
        order: rows of a call are sorted by this, so that the runner finds equal lengths side by side.
        on_call: told the number of rows of each call.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Row]], Awaitable[Sequence[Result]]],
        *,
        rows: int,
        calls: int,
        order: Callable[[Row], int],
        on_call: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._call = call
        self._rows = rows
        self._calls = calls
        self._order = order
        self._on_call = on_call
        self._waiting: deque[_Waiting[Row, Result]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()

    async def submit(self, row: Row) -> Result:
        """Returns the tower's result for ``row``; cancelling it drops the row if it has not left yet.

        Raises:
            DeadlineExceeded: the caller's deadline passed before the row could leave.
        """
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiting = _Waiting[Row, Result](row, done, deadline.current())
        self._waiting.append(waiting)
        self._launch()
        return await waiting.done

    async def close(self) -> None:
        """Waits for the calls in flight."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _launch(self) -> None:
        while self._waiting and len(self._in_flight) < self._calls:
            batch = self._take()
            if batch:
                task = asyncio.create_task(self._run(batch))
                self._in_flight.add(task)
                task.add_done_callback(self._returned)
                for waiting in batch:
                    waiting.done.add_done_callback(partial(_drop_unwanted, task, batch))

    def _take(self) -> list[_Waiting[Row, Result]]:
        batch: list[_Waiting[Row, Result]] = []
        while self._waiting and len(batch) < self._rows:
            waiting = self._waiting.popleft()
            if waiting.done.done():
                continue  # its caller is gone
            if waiting.due is not None and waiting.due <= time.monotonic():
                waiting.done.set_exception(DeadlineExceeded("its time was up before it could be encoded"))
            else:
                batch.append(waiting)
        return sorted(batch, key=lambda waiting: self._order(waiting.row))

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._launch()

    async def _run(self, batch: list[_Waiting[Row, Result]]) -> None:
        self._on_call(len(batch))
        try:
            with deadline.due(_latest(batch)):
                results = await self._call([waiting.row for waiting in batch])
            pairs = list(zip(batch, results, strict=True))  # here, so that a short answer reaches everybody
        except InvalidInput as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:  # one bad row must not fail its neighbours: each is asked alone
                for waiting in batch:
                    await self._run([waiting])
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.done.cancel()
            raise
        except Exception as error:
            _fail(batch, error)
        else:
            for waiting, result in pairs:
                if not waiting.done.done():
                    waiting.done.set_result(result)


def _latest(batch: Sequence[_Waiting[Row, Result]]) -> float | None:
    """Returns the deadline of the row that has most time; None where one has no deadline."""
    dues = [waiting.due for waiting in batch if waiting.due is not None]
    return max(dues) if len(dues) == len(batch) else None


def _drop_unwanted(
    task: asyncio.Task[None], batch: Sequence[_Waiting[Row, Result]], _: asyncio.Future[Result]
) -> None:
    """Ends a call when the last one who waited for it is gone."""
    if all(waiting.done.cancelled() for waiting in batch):
        task.cancel()


def _fail(batch: Sequence[_Waiting[Row, Result]], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
