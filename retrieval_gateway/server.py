"""Assembles a gateway from its parts, runs it, and takes it down in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server
from tritonclient.grpc import aio as triton_aio

from catalog.pictures import PictureLimits
from faults import InternalError
from releases.store import ReleaseStore
from retrieval_gateway.admission import Admission
from retrieval_gateway.api import release_service, retrieval_service
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.cache_watch import CacheWatch
from retrieval_gateway.encoding.encoder import TritonLink
from retrieval_gateway.health import Health
from retrieval_gateway.index.devices import require_device
from retrieval_gateway.lifecycle import drain, in_background
from retrieval_gateway.listener import check_exposure, listen, make_server
from retrieval_gateway.loaded_release import load_release
from retrieval_gateway.metered_cache import open_cache, prewarmer
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.release_follower import ReleaseFollower
from retrieval_gateway.request_log import RequestLog
from retrieval_gateway.searcher import Searcher
from retrieval_gateway.security.access import OpenAccess
from retrieval_gateway.security.key_access import KeyAccess
from retrieval_gateway.security.picture_pool import PicturePool
from retrieval_gateway.settings import GatewaySettings
from retrieval_gateway.triton_keeper import TritonKeeper
from runtime.triton_control import TritonControl

log = structlog.get_logger(__name__)

_SERVICES = (retrieval_service.SERVICE, release_service.SERVICE)
_CONTROL_TIMEOUT_S = 30.0
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
        InvalidInput: keys or certificates are not good, or the network would be let in unguarded.
    """
    check_exposure(settings)
    require_device(settings.index_device)
    async with contextlib.AsyncExitStack() as stack:
        metrics = Metrics()
        metrics.build.labels(version("vitrine")).set(1)
        executor = stack.enter_context(ThreadPoolExecutor(settings.search_threads, "search"))
        store = ReleaseStore(settings.release_store)
        keeper, follower = await _release_parts(settings, store, metrics, stack)
        cache = open_cache(settings, metrics)
        stack.push_async_callback(cache.close)
        admission = Admission(settings.max_concurrent_requests, metrics)
        metrics.admission_limit.set_function(lambda: admission.limit)
        access = KeyAccess(settings.key_file) if settings.key_file else OpenAccess(settings.release_admin)
        request_log = RequestLog(settings.log_requests, queries=settings.log_queries)
        handlers = Handlers(admission, access, metrics, request_log, settings.default_timeout_s)
        release_handlers = Handlers(admission, access, metrics, request_log, settings.release_timeout_s)
        ready = lambda: keeper.healthy and follower.serving_id is not None  # noqa: E731
        state = Health(_SERVICES, ready, (release_service.SERVICE,), settings.lame_duck_s)
        server = make_server(settings)
        pictures = PicturePool(
            settings.picture_workers,
            time_s=settings.picture_time_s,
            memory_bytes=settings.picture_memory_bytes,
        )
        stack.push_async_callback(pictures.close)
        searcher = Searcher(
            follower, cache, executor, metrics, admission.compute, pictures.decode, metrics.degraded.saw
        )
        follower.prepare_with(prewarmer(cache, searcher.prewarm, settings), cache.forget_release)
        server.add_generic_rpc_handlers(
            (
                retrieval_service.retrieval_service(searcher, settings, handlers),
                release_service.release_service(store, follower, release_handlers),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(state.servicer, server)
        if settings.reflection:
            names = (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        port = listen(server, settings)
        http, thread = start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
        stack.callback(thread.join)
        stack.callback(http.server_close)
        stack.callback(http.shutdown)
        await state.publish(False)
        await server.start()
        failed = asyncio.Event()
        loops = [keeper.run, follower.run, state.run]
        if isinstance(access, KeyAccess):
            loops.append(access.run)
        if settings.redis_url:
            loops.append(CacheWatch(settings.redis_url, metrics.degraded).run)
        for run in loops:
            in_background(run, stack, failed)
        stack.push_async_callback(drain, server, state, admission, settings.drain_s)
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
    limits = PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels, settings.picture_formats)
    follower = ReleaseFollower(
        store,
        lambda release_id: load_release(store, release_id, link, limits, settings.index_device),
        keeper,
        metrics,
        settings.release_poll_s,
        settings.release_grace_s,
    )
    return keeper, follower


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
