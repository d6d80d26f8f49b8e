"""One picture worker as the gateway sees it: a process, and a socket to it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from faults import InternalError
from retrieval_gateway.security.picture_wire import (
    ANSWER_HEAD,
    LONGEST_REFUSAL,
    PIXELS,
    READY,
    REQUEST_HEAD,
    Order,
)

_MODULE = "retrieval_gateway.security.picture_worker"
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
"""What a decoder may know of the environment: no address and no password of ours."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says: pixels or a refusal, by ``kind`` of ``picture_wire``."""

    kind: int
    content: bytearray


class PictureProcess:
    """A worker that runs; used for one picture at a time.

    Args:
        memory_bytes: address space that decoding may take.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            # -I: neither the working folder nor PYTHONPATH decides what the worker imports.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", _MODULE, str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**_kept_environment(), "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    async def ready(self) -> bool:
        """Waits until it takes pictures; False if it ended instead."""
        return bytes(await self._receive(len(READY)) or b"") == READY

    async def ask(self, order: Order, data: bytes) -> Answer | None:
        """Has a picture decoded; None if the process ended over it.

        Raises:
            InternalError: the answer is none.
        """
        loop, text = asyncio.get_running_loop(), order.to_json()
        try:
            await loop.sock_sendall(self._socket, REQUEST_HEAD.pack(len(text), len(data)) + text)
            await loop.sock_sendall(self._socket, data)
        except ConnectionError:
            return None
        head = await self._receive(ANSWER_HEAD.size)
        if head is None:
            return None
        kind, length = ANSWER_HEAD.unpack(head)
        if length != 3 * order.size**2 if kind == PIXELS else length > LONGEST_REFUSAL:
            raise InternalError(f"a picture worker answered with {length} bytes of kind {kind}")
        content = await self._receive(length)
        return None if content is None else Answer(kind, content)

    async def _receive(self, length: int) -> bytearray | None:
        """Reads so many bytes; None if the process ended before."""
        received = bytearray(length)
        rest = memoryview(received)
        while rest:
            try:
                count = await asyncio.get_running_loop().sock_recv_into(self._socket, rest)
            except ConnectionError:
                return None
            if not count:
                return None
            rest = rest[count:]
        return received

    async def end(self) -> int:
        """Kills the process if it still runs; returns its exit code, negative for a signal."""
        self._socket.close()
        self._process.kill()  # it has nothing to tidy up
        code: int = await asyncio.to_thread(self._process.wait)
        return code


def _kept_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
