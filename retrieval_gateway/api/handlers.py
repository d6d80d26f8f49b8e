"""What every RPC shares: parse, admit, deadline, count, and errors to statuses.

Handlers take and return raw bytes: a request is parsed by ``wire`` (which names the
field at fault), and a cached reply goes out as the bytes it was stored as.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from grpc_status import rpc_status

from faults import DeadlineExceeded
from retrieval_gateway.admission import Admission
from retrieval_gateway.api.status import code_of, status_of
from retrieval_gateway.metrics import Metrics

log = structlog.get_logger(__name__)

Handle = Callable[[bytes], Awaitable[bytes]]
Context = Any
"""grpc.aio.ServicerContext; the stubs do not know its abort_with_status."""

_MARGIN_S = 0.005
"""Kept back from a caller's deadline, so that our answer about it still arrives."""


class Handlers:
    """Makes gRPC handlers of functions from bytes to bytes.

    Args:
        admission: how many may be in work.
        metrics: counts by RPC and status.
        default_timeout_s: deadline of a request that comes without one.
    """

    def __init__(self, admission: Admission, metrics: Metrics, default_timeout_s: float) -> None:
        self._admission = admission
        self._metrics = metrics
        self._default_timeout_s = default_timeout_s

    def unary(self, name: str, handle: Handle) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Returns the handler of one unary RPC; without serialisers, gRPC passes the bytes through."""

        async def serve(raw: bytes, context: Context) -> bytes:
            began = time.perf_counter()
            code = grpc.StatusCode.OK
            try:
                return await self._within_deadline(handle, raw, context)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:
                code = code_of(error)
                if code is grpc.StatusCode.INTERNAL:
                    log.exception("bug", rpc=name)
                await context.abort_with_status(rpc_status.to_status(status_of(error)))
                raise
            finally:
                self._metrics.requests.labels(name, code.name).inc()
                self._metrics.request_seconds.labels(name).observe(time.perf_counter() - began)

        return grpc.unary_unary_rpc_method_handler(serve)

    async def _within_deadline(self, handle: Handle, raw: bytes, context: Context) -> bytes:
        left = context.time_remaining()
        timeout = self._default_timeout_s if left is None else max(0.0, left - _MARGIN_S)
        with self._admission.admit():
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
