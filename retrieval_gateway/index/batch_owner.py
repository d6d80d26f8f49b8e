"""One thread that owns an index which only one thread may search, and joins the searches that wait.

GPU indexes are not safe for concurrent searches, and a batch costs them little more than one query. So the
owner opens the index, searches it and lets go of it, all in its own thread; others hand it queries.
While a search runs, further ones wait; when it returns, those that fit together leave together. A lone search
waits for nobody: there is no timer.

Nobody waits for ever either. A search that fails, or a thread that dies, fails those who wait for
it; one that takes too long is given up, and until it returns everyone is refused at once. After a
failure the owner rests, longer each time, before it tries again. What then answers is the
caller's business (``offloaded_index``). Of GPUs this file knows nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["BatchOwner", "SearchBatch"]

Rows: TypeAlias = NDArray[np.int64]
SearchBatch: TypeAlias = Callable[[NDArray[np.float32], int], Rows]
"""(queries [b, dim], width) -> rows int64 [b, width], best first, -1 for none."""

_LEAST_WIDTH = 32
_LONGEST_REST_S = 60.0


@dataclass(slots=True)
class _Waiting:
    queries: NDArray[np.float32]
    width: int
    rows: Future[Rows] = field(default_factory=Future)


class BatchOwner:
    """Owner of one index and of the searches that wait for it. Any thread may search.

    Args:
        open_search: opens the index and returns how to search it; called, like what it
            returns, in the owner's thread only.
        most_rows: queries joined into one search.
        patience_s: after this a search that has not been answered is given up.
        rest_s: pause after a failure, doubled with each further one up to a minute.
        clock: seconds, rising.

    Raises:
        Exception: what ``open_search`` raised.
    """

    def __init__(
        self,
        open_search: Callable[[], SearchBatch],
        *,
        most_rows: int = 256,
        patience_s: float = 1.0,
        rest_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_rows = most_rows
        self._patience_s = patience_s
        self._first_rest_s = self._rest_s = rest_s
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._busy_since: float | None = None
        self._rests_until = -float("inf")
        self._closing = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(open_search, opened), name="index-owner", daemon=True
        )
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise

    def search(self, queries: NDArray[np.float32], wanted: int) -> Rows:
        """Returns the rows int64 [B, wanted] that the owned index proposes; blocks until they are there.

        Args:
            queries: float32 [B, dim], B at least 1.
            wanted: rows a query. Searches are joined by the next power of two.

        Raises:
            faults.Unavailable: the index failed, hangs, rests after a failure, or is closed.
        """
        waiting = _Waiting(queries, max(_LEAST_WIDTH, 1 << (wanted - 1).bit_length()))
        with self._changed:
            self._refuse_if_down()
            self._waiting.append(waiting)
            self._changed.notify()
        try:
            return waiting.rows.result(self._patience_s)[:, :wanted]
        except TimeoutError:
            waiting.rows.cancel()
            problem, cause = f"did not answer within {self._patience_s} s", None
        except CancelledError:
            problem, cause = "was closed", None
        except Exception as error:
            problem, cause = f"failed: {error}", error
        raise _unavailable(problem) from cause

    def close(self) -> bool:
        """Fails those who wait, ends the thread and lets go of the index.

        Returns:
            Whether the thread has ended; one that hangs in a search ends when that returns.
        """
        self.stop()
        self._thread.join(self._patience_s)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Like ``close``, without waiting for the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def _refuse_if_down(self) -> None:
        now = self._clock()
        if self._closing or not self._thread.is_alive():
            raise _unavailable("is closed")
        if now < self._rests_until:
            raise _unavailable("rests after a failure", self._rests_until - now)
        if self._busy_since is not None and now - self._busy_since > self._patience_s:
            raise _unavailable(f"has not answered for {now - self._busy_since:.1f} s")

    def _run(self, open_search: Callable[[], SearchBatch], opened: Future[None]) -> None:
        try:
            search = open_search()
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while (batch := self._next()) and self._answer(search, batch):
                pass
        finally:  # however this thread ends, nobody waits for it any longer
            with self._changed:
                self._closing = True
                for waiting in self._waiting:
                    waiting.rows.cancel()
                self._waiting.clear()

    def _next(self) -> list[_Waiting]:
        """Waits for work and takes what fits together; empty when closing."""
        with self._changed:
            self._busy_since = None
            while not self._closing:
                if batch := self._take():
                    self._busy_since = self._clock()
                    return batch
                if not self._waiting:
                    self._changed.wait()
            return []

    def _take(self) -> list[_Waiting]:
        """Takes the first in line and those that fit it; leaves the others in their order."""
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        rows = 0
        for waiting in self._waiting:
            alike = not batch or waiting.width == batch[0].width
            if not alike or (batch and rows + len(waiting.queries) > self._most_rows):
                others.append(waiting)
            elif waiting.rows.set_running_or_notify_cancel():  # its caller may have given up
                batch.append(waiting)
                rows += len(waiting.queries)
        self._waiting = others
        return batch

    def _answer(self, search: SearchBatch, batch: list[_Waiting]) -> bool:
        """Returns whether the thread may go on."""
        width = batch[0].width
        queries = np.concatenate([waiting.queries for waiting in batch])
        try:
            rows = search(queries, width)
            if rows.shape != (len(queries), width):
                raise faults.InternalError("rows of a wrong shape", field="index", value=rows.shape)
        except BaseException as error:
            with self._changed:
                self._rests_until = self._clock() + self._rest_s
                self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
            # A thread's end is its own: those who wait for it must not end as well.
            reported = error if isinstance(error, Exception) else faults.InternalError("its thread ended")
            for waiting in batch:
                waiting.rows.set_exception(reported)
            return reported is error
        self._rest_s = self._first_rest_s
        start = 0
        for waiting in batch:
            waiting.rows.set_result(rows[start : start + len(waiting.queries)])
            start += len(waiting.queries)
        return True


def _unavailable(problem: str, retry_after_s: float = 0.0) -> faults.Unavailable:
    return faults.Unavailable(f"the index's owner {problem}", field="index", retry_after_s=retry_after_s)
