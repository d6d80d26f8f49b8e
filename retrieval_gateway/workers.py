"""Work that computes, beside the event loop: index searches, full text, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from catalog.pictures import PictureLimits, decode_picture
from faults import InvalidInput
from retrieval_gateway.encoding.rows import Pixels

__all__ = ["MANY", "Decode", "Workers"]

MANY = 1000
"""Hits that are worth a thread: fewer are dealt with before one would have begun."""

T = TypeVar("T")
Decode = Callable[[bytes, int, PictureLimits], Awaitable[Pixels]]
"""(file, size, limits) -> uint8[size,size,3]; raises InvalidInput for what is no picture."""


class Workers:
    """Threads for whatever would hold up the event loop; the libraries they call release the interpreter.

    Args:
        executor: the threads.
        decode: decodes a stranger's picture where it can do no harm; None: in one of the threads.
    """

    def __init__(self, executor: Executor, decode: Decode | None = None) -> None:
        self._executor = executor
        self._decode = decode

    async def run(self, work: Callable[[], T], *, heavy: bool = True) -> T:
        """Returns what ``work`` returns, computed in a thread; here and now where it is not heavy."""
        if not heavy:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def decode(self, data: bytes, size: int, limits: PictureLimits, field: str) -> Pixels:
        """Decodes a query's picture to uint8[size,size,3].

        Raises:
            InvalidInput: it is none, is torn or is over the limits; names ``field``.
            Overloaded, Unavailable: the decoder has too much to do, or is away.
        """
        try:
            if self._decode is not None:
                return await self._decode(data, size, limits)
            return await self.run(partial(decode_picture, data, size, limits))
        except InvalidInput as error:
            raise InvalidInput(error.problem, field=field, value=error.value, fix=error.fix) from error
