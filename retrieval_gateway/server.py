"""Assembles a gateway from its parts, runs it, and takes it down in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server
from tritonclient.grpc import aio as triton_aio

from catalog.pictures import PictureLimits
from faults import InternalError, Occupied
from releases.store import ReleaseStore
from retrieval_gateway.admission import Admission
from retrieval_gateway.api import release_service, retrieval_service
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.encoding.encoder import TritonLink
from retrieval_gateway.health import Health
from retrieval_gateway.loaded_release import load_release
from retrieval_gateway.metered_cache import open_cache
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.release_follower import ReleaseFollower
from retrieval_gateway.searcher import Searcher
from retrieval_gateway.settings import GatewaySettings
from retrieval_gateway.triton_keeper import TritonKeeper
from runtime.ports import require_free
from runtime.triton_control import TritonControl

log = structlog.get_logger(__name__)

_SERVICES = (retrieval_service.SERVICE, release_service.SERVICE)
_MESSAGE_MARGIN = 64 * 1024
_CONTROL_TIMEOUT_S = 30.0
_LAST_BYTES_S = 0.2
# A restarted Triton should be found at once, not after gRPC's usual back-off of up to two minutes.
_CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


@dataclass(frozen=True)
class Running:
    """Where a running gateway listens."""

    port: int
    metrics_port: int
    failed: asyncio.Event
    """Set when one of the owners' loops ended by a bug; the process should end and be started again."""


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[Running]:
    """Runs a gateway while the block runs; leaving it drains and closes everything.

    It starts whether or not Triton, the cache and a release are there: their order does
    not matter, and health says NOT_SERVING until a search would be answered.

    Raises:
        Occupied: a port is in use.
    """
    for port, name in ((settings.port, "VITRINE_PORT"), (settings.metrics_port, "VITRINE_METRICS_PORT")):
        if port:
            require_free(settings.host, port, name)
    async with contextlib.AsyncExitStack() as stack:
        metrics = Metrics()
        metrics.build.labels(version("vitrine")).set(1)
        executor = stack.enter_context(ThreadPoolExecutor(settings.search_threads, "search"))
        store = ReleaseStore(settings.release_store)
        keeper, follower = await _release_parts(settings, store, metrics, stack)
        cache = open_cache(settings, metrics)
        stack.push_async_callback(cache.close)
        admission = Admission(settings.max_concurrent_requests, metrics)
        handlers = Handlers(admission, metrics, settings.default_timeout_s)
        ready = lambda: keeper.healthy and follower.serving_id is not None  # noqa: E731
        state = Health(_SERVICES, ready)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_picture_bytes + _MESSAGE_MARGIN),
                # Two gateways on one port would share its requests without anybody having asked for it.
                ("grpc.so_reuseport", 0),
            ]
        )
        searcher = Searcher(follower, cache, executor, metrics)
        server.add_generic_rpc_handlers(
            (
                retrieval_service.retrieval_service(searcher, settings, handlers),
                release_service.release_service(store, follower, settings.release_admin, handlers),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(state.servicer, server)
        if settings.reflection:
            names = (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        try:
            port = server.add_insecure_port(f"{settings.host}:{settings.port}")
        except RuntimeError as error:
            raise Occupied(
                "cannot listen", field="VITRINE_PORT", value=settings.port, fix="Choose another port."
            ) from error
        http, thread = start_http_server(settings.metrics_port, settings.host, metrics.registry)
        stack.callback(thread.join)
        stack.callback(http.server_close)
        stack.callback(http.shutdown)
        await state.publish(False)
        await server.start()
        failed = asyncio.Event()
        for run in (keeper.run, follower.run, state.run):
            _background(run, stack, failed)
        stack.push_async_callback(_drain, server, state, admission, settings.drain_s)
        log.info("gateway listens", port=port, metrics_port=http.server_port)
        yield Running(port, http.server_port, failed)


async def _release_parts(
    settings: GatewaySettings, store: ReleaseStore, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> tuple[TritonKeeper, ReleaseFollower]:
    """Returns the two owners: of Triton's models and of the serving release."""
    client = triton_aio.InferenceServerClient(settings.triton_url, channel_args=_CHANNEL_OPTIONS)
    stack.push_async_callback(client.close)
    control = TritonControl(settings.triton_url, timeout_s=_CONTROL_TIMEOUT_S)
    stack.callback(control.close)
    keeper = TritonKeeper(control, metrics)
    link = TritonLink(
        client,
        settings.triton_url,
        rows=settings.gather_rows,
        calls=settings.gather_calls,
        timeout_s=settings.triton_timeout_s,
        on_failure=keeper.suspect,
        on_call=lambda tower, rows: metrics.gathered_rows.labels(tower).observe(rows),
    )
    limits = PictureLimits(max_bytes=settings.max_picture_bytes, max_pixels=settings.max_picture_pixels)
    follower = ReleaseFollower(
        store,
        lambda release_id: load_release(store, release_id, link, limits),
        keeper,
        metrics,
        settings.release_poll_s,
        settings.release_grace_s,
    )
    return keeper, follower


def _background(
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


async def _drain(server: grpc.aio.Server, state: Health, admission: Admission, drain_s: float) -> None:
    """NOT_SERVING first, then no new requests, then the listener; requests in work may finish."""
    await state.stop_serving()
    admission.drain()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(admission.idle(), drain_s)
    # Health's watchers never leave by themselves; what else is open now is on its way out.
    await server.stop(_LAST_BYTES_S)


async def serve(settings: GatewaySettings) -> None:
    """Runs a gateway until SIGTERM or SIGINT.

    Raises:
        InternalError: a part of it ended by a bug; start it again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as gateway:
        waits = [asyncio.create_task(event.wait()) for event in (stop, gateway.failed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    if gateway.failed.is_set():
        raise InternalError("a part of the gateway ended by a bug; the log has it")
