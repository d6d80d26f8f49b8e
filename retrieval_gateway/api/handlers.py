"""What every RPC shares: who asks, admission, a deadline, a count, and errors to statuses.

Handlers take and return raw bytes: a request is parsed by ``wire`` (which names the
field at fault), and a cached reply goes out as the bytes it was stored as.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram

from faults import DeadlineExceeded
from retrieval_gateway import deadline, trace_context
from retrieval_gateway.admission import Admission
from retrieval_gateway.api.status import code_of, status_of
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.request_log import Ended, RequestLog
from retrieval_gateway.security.access import Access

Handle = Callable[[bytes], Awaitable[bytes]]
"""Answers one request, from bytes to bytes."""

Failed = Callable[[bytes, Exception], bytes]
"""Makes the reply to a request of a stream that failed. Say no more than ``status.status_of(error)`` does."""

Context = Any
"""grpc.aio.ServicerContext; the stubs do not know its abort_with_status."""

_MARGIN_S = 0.005
"""Kept back from a caller's deadline, so that our answer about it still arrives."""
_MOST_OF_A_STREAM = 32
"""Requests of one stream in work; its next one is read when one of them is answered."""


class Handlers:
    """Makes gRPC handlers of functions from bytes to bytes.

    Args:
        admission: how many may be inside.
        access: who may ask for what.
        metrics: counts by RPC and status.
        log: told of every request that ended.
        default_timeout_s: deadline of a request that comes without one.
    """

    def __init__(
        self,
        admission: Admission,
        access: Access,
        metrics: Metrics,
        log: RequestLog,
        default_timeout_s: float,
    ) -> None:
        self._admission = admission
        self._access = access
        self._metrics = metrics
        self._log = log
        self._default_timeout_s = default_timeout_s
        self._children: dict[tuple[str, grpc.StatusCode], tuple[Counter, Histogram]] = {}

    def unary(self, name: str, handle: Handle, *, admin: bool = False) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Returns the handler of one unary RPC; without serialisers, gRPC passes the bytes through.

        Args:
            name: of the RPC.
            handle: answers a request.
            admin: only callers with the admin right may ask.
        """

        async def serve(raw: bytes, context: Context) -> bytes:
            try:
                return await self._request(name, handle, raw, context, admin)
            except Exception as error:
                await context.abort_with_status(rpc_status.to_status(status_of(error)))
                raise

        return grpc.unary_unary_rpc_method_handler(serve)

    def stream(self, name: str, handle: Handle, failed: Failed) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Returns the handler of a stream of requests, each answered as soon as it is done.

        Every request of it is let in, bounded in time and counted like a unary one, so a caller
        gains nothing by streaming, and one that fails does not fail the others.

        Args:
            name: of the RPC.
            handle: answers one request of the stream.
            failed: makes the answer of one that failed.
        """

        async def serve(requests: AsyncIterator[bytes], context: Context) -> None:
            turn = asyncio.Lock()
            places = asyncio.Semaphore(_MOST_OF_A_STREAM)

            async def answer(raw: bytes) -> None:
                try:
                    reply = await self._request(name, handle, raw, context, False)
                except Exception as error:
                    reply = failed(raw, error)
                async with turn:
                    await context.write(reply)
                places.release()

            async with asyncio.TaskGroup() as answers:
                async for raw in requests:
                    answers.create_task(answer(raw))
                    await places.acquire()

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _request(self, name: str, handle: Handle, raw: bytes, context: Context, admin: bool) -> bytes:
        began = time.perf_counter()
        code, caller, failure = grpc.StatusCode.OK, "", None
        metadata = context.invocation_metadata() or ()
        trace_context.current.set(trace_context.trace_of(metadata))
        try:
            caller = self._access.admit(metadata, admin=admin).name
            return await self._within_deadline(handle, raw, context.time_remaining())
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:
            code, failure = code_of(error), error
            raise
        finally:
            seconds = time.perf_counter() - began
            self._count(name, code, seconds)
            self._log.ended(Ended(name, code, seconds, caller, raw, failure))

    def _count(self, name: str, code: grpc.StatusCode, seconds: float) -> None:
        """Looks each metric up once: finding its child costs as much as counting."""
        found = self._children.get((name, code))
        if found is None:
            children = (
                self._metrics.requests.labels(name, code.name),
                self._metrics.request_seconds.labels(name),
            )
            found = self._children[name, code] = children
        found[0].inc()
        found[1].observe(seconds)

    async def _within_deadline(self, handle: Handle, raw: bytes, left_s: float | None) -> bytes:
        timeout = self._default_timeout_s if left_s is None else max(0.0, left_s - _MARGIN_S)
        with self._admission.enter(), deadline.due(time.monotonic() + timeout):
            try:
                async with asyncio.timeout(timeout):
                    return await handle(raw)
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"not done within {timeout:.3f} s",
                    field="deadline",
                    fix="Give more time, or ask for less.",
                ) from error


def serialised(message: Message) -> bytes:
    """Serialises a reply of an RPC that has no cached form."""
    return message.SerializeToString()
