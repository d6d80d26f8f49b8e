"""Decodes pictures in worker processes: bounded in number, time, memory and queue.

Workers start with the first pictures, so a shop without any pays nothing. One that hangs, crashes or
wants too much memory is replaced, and only its own picture is refused.
"""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import numpy.typing as npt
import structlog

from catalog.picture_decoder import PictureLimits
from faults import InvalidInput, Overloaded, Unavailable, VitrineError
from retrieval_gateway.security.picture_process import Answer, PictureProcess
from retrieval_gateway.security.picture_wire import EXHAUSTED, PIXELS, Order, Refusal

log = structlog.get_logger(__name__)

Pixels = npt.NDArray[np.uint8]

_MOST_WAITING = 16
"""Pictures that wait for each worker. Each is held in memory, and the last would be late anyway."""
_START_S = 20.0
"""For a new worker's imports; tenths of a second on an idle machine."""
_RETRY_AFTER_S = 0.5


class PicturePool:
    """Owner of the workers; used from one event loop.

    Args:
        workers: pictures decoded at once.
        time_s: a picture that takes longer is refused.
        memory_bytes: address space that decoding one may take.
    """

    def __init__(self, workers: int, *, time_s: float, memory_bytes: int) -> None:
        self._time_s = time_s
        self._memory_bytes = memory_bytes
        self._most_waiting = _MOST_WAITING * workers
        self._waiting = 0
        self._places = asyncio.Semaphore(workers)
        self._idle: list[PictureProcess] = []
        self._under_way: set[asyncio.Task[Pixels]] = set()

    @property
    def idle(self) -> tuple[int, ...]:
        """Process ids of the workers that wait for a picture."""
        return tuple(worker.pid for worker in self._idle)

    async def decode(self, data: bytes, size: int, limits: PictureLimits) -> Pixels:
        """Decodes a picture as ``catalog.picture_decoder.decode_picture`` does.

        A caller who leaves does not interrupt the worker, which would have to be replaced: the picture
        is decoded to its end, and nobody waits for it.

        Returns:
            uint8 ``[size, size, 3]`` RGB.

        Raises:
            InvalidInput: field ``picture``: over a limit, torn, or the decoder hung, crashed or needed too
                much memory over it.
            Overloaded: too many pictures wait.
            Unavailable: no worker can be had.
        """
        if self._waiting >= self._most_waiting:
            raise Overloaded(
                f"{self._waiting} pictures wait to be decoded",
                field="picture",
                fix="Try again shortly.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        task = asyncio.create_task(self._decoded(data, Order(size, limits, self._time_s)))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends the workers; who still waits for a picture is not answered."""
        for task in self._under_way:
            task.cancel()
        while self._under_way:
            await asyncio.wait(self._under_way)
        while self._idle:
            await self._idle.pop().end()

    def _done(self, task: asyncio.Task[Pixels]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here: the caller may be gone
        self._places.release()

    async def _decoded(self, data: bytes, order: Order) -> Pixels:
        worker = await self._worker()
        answer: Answer | None = None
        try:
            async with asyncio.timeout(self._time_s):
                answer = await worker.ask(order, data)
        except TimeoutError as error:
            raise _refused(f"decoding it takes longer than {self._time_s:g} s") from error
        finally:
            fit = answer is not None and answer.kind != EXHAUSTED
            code = 0 if fit else await self._replaced(worker)
            if fit:
                self._idle.append(worker)
        if answer is None:
            raise _meaning(code)
        if answer.kind == PIXELS:
            return np.frombuffer(answer.content, dtype=np.uint8).reshape(order.size, order.size, 3)
        refusal = Refusal.from_json(answer.content)
        raise InvalidInput(refusal.problem, field="picture", fix=refusal.fix)

    async def _worker(self) -> PictureProcess:
        """Returns one that waits for a picture, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await self._replaced(worker)
        worker = PictureProcess(self._memory_bytes)
        ready = False
        try:
            async with asyncio.timeout(_START_S):
                ready = await worker.ready()
        except TimeoutError:
            pass
        finally:
            code = 0 if ready else await self._replaced(worker)
        if not ready:
            raise _meaning(code)
        return worker

    async def _replaced(self, worker: PictureProcess) -> int:
        code = await worker.end()
        log.warning("a picture worker ended", code=code)
        return code


def _meaning(code: int) -> VitrineError:
    """Says what a worker's end means: its picture is bad where it crashed, not where it was killed."""
    if code == -signal.SIGXCPU:
        return _refused("decoding it takes too long")
    if code < 0 and code != -signal.SIGKILL:
        return _refused("the decoder crashed over it")
    return Unavailable(
        "the picture decoder ended", field="picture", fix="Try again.", retry_after_s=_RETRY_AFTER_S
    )


def _refused(problem: str) -> InvalidInput:
    return InvalidInput(
        problem, field="picture", fix="Save it anew with a picture editor, as a JPEG of moderate size."
    )
