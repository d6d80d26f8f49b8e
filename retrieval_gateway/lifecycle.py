"""How a gateway's parts run beside each other, and how they end without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import structlog

from retrieval_gateway.admission import Admission
from retrieval_gateway.health import Health

log = structlog.get_logger(__name__)

_LAST_BYTES_S = 0.2


def in_background(
    run: Callable[[], Coroutine[Any, Any, None]], stack: contextlib.AsyncExitStack, failed: asyncio.Event
) -> None:
    """Runs an owner's loop until the gateway closes; if a bug ends it, that is not passed over."""
    task = asyncio.create_task(run())

    def ended(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            log.error("an owner's loop ended", loop=run.__qualname__, exc_info=done.exception())
            failed.set()

    task.add_done_callback(ended)

    async def stop() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(stop)


async def drain(server: grpc.aio.Server, state: Health, admission: Admission, drain_s: float) -> None:
    """NOT_SERVING first, then no new requests, then the listener; requests in work may finish."""
    await state.stop_serving()
    admission.drain()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(admission.idle(), drain_s)
    # Health's watchers never leave by themselves; what else is open now is on its way out.
    await server.stop(_LAST_BYTES_S)
