"""A gateway that answers from a script, in this process: real gRPC, no search behind it.

It runs in a thread with an event loop of its own, so that the synchronous client can be tested against it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_status import rpc_status

from faults import VitrineError
from retrieval_gateway.api.generated import release_service_pb2 as release_pb
from retrieval_gateway.api.generated import release_service_pb2_grpc, retrieval_service_pb2_grpc
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.status import code_of, status_of

SERVICE = "vitrine.retrieval.v1.RetrievalService"
States = health_pb2.HealthCheckResponse


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    rpc: str
    message: Any
    metadata: dict[str, str]
    timeout_s: float


@dataclass(frozen=True)
class After:
    """An outcome that comes late."""

    seconds: float
    outcome: Any = None


class ScriptedGateway:
    """A context manager.

    Args:
        name: release_id of the answers that the script does not give.
        port: 0 takes a free one.
        credentials: for TLS.

    Attributes:
        script: outcomes of the next calls: messages, faults, ``After``; plain answers when it is empty.
        asked: what came.
    """

    def __init__(self, name: str = "scripted", port: int = 0, credentials: Any = None) -> None:
        self.name = name
        self.port = port
        self.script: deque[Any] = deque()
        self.asked: list[Asked] = []
        self._credentials = credentials
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name)

    def __enter__(self) -> ScriptedGateway:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._server.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def rpcs(self) -> list[str]:
        return [one.rpc for one in self.asked]

    def say(self, *, serving: bool) -> None:
        """Tells the health service's watchers."""
        state = States.SERVING if serving else States.NOT_SERVING
        for service in ("", SERVICE):
            self._do(self._health.set(service, state))

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        retrieval_service_pb2_grpc.add_RetrievalServiceServicer_to_server(_Retrieval(self), self._server)
        release_service_pb2_grpc.add_ReleaseServiceServicer_to_server(_Releases(self), self._server)
        if self._credentials is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        else:
            self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self._credentials)
        for service in ("", SERVICE):
            await self._health.set(service, States.SERVING)
        await self._server.start()

    async def answer(self, rpc: str, message: Any, context: Any, default: Any) -> Any:
        """Takes the script's next outcome."""
        metadata = dict(context.invocation_metadata())
        self.asked.append(Asked(rpc, message, metadata, context.time_remaining()))
        outcome = self.script.popleft() if self.script else default
        if isinstance(outcome, After):
            await asyncio.sleep(outcome.seconds)
            outcome = outcome.outcome or default
        if isinstance(outcome, VitrineError):
            await context.abort_with_status(rpc_status.to_status(status_of(outcome)))
        return outcome


class _Retrieval(retrieval_service_pb2_grpc.RetrievalServiceServicer):
    def __init__(self, gateway: ScriptedGateway) -> None:
        self._gateway = gateway

    async def Search(self, request, context):  # noqa: N802
        return await self._gateway.answer(
            "Search", request, context, pb.SearchResponse(release_id=self._gateway.name)
        )

    async def SearchSimilar(self, request, context):  # noqa: N802
        default = pb.SearchSimilarResponse(release_id=self._gateway.name)
        return await self._gateway.answer("SearchSimilar", request, context, default)

    async def BatchSearch(self, requests, context):  # noqa: N802
        """Answers two at a time, the later one first.

        A fault in the script fails its item, any other exception the stream.
        """
        held = []
        async for request in requests:
            held.append(request)
            if len(held) == 2:
                for one in reversed(held):
                    yield await self._item(one, context)
                held.clear()
        for one in held:
            yield await self._item(one, context)

    async def _item(self, request, context):
        kind = request.WhichOneof("request")
        default = (pb.SearchResponse if kind == "search" else pb.SearchSimilarResponse)(
            release_id=self._gateway.name
        )
        metadata = dict(context.invocation_metadata())
        self._gateway.asked.append(Asked("BatchSearch", request, metadata, context.time_remaining()))
        outcome = self._gateway.script.popleft() if self._gateway.script else default
        if isinstance(outcome, VitrineError):
            error = pb.BatchSearchError(
                code=code_of(outcome).value[0],
                message=str(outcome),
                field=outcome.field,
                reason=outcome.reason,
                retry_after_ms=round(1000 * getattr(outcome, "retry_after_s", 0.0)),
            )
            return pb.BatchSearchResponse(request_id=request.request_id, error=error)
        if isinstance(outcome, Exception):
            raise outcome
        return pb.BatchSearchResponse(request_id=request.request_id, **{kind: outcome})


class _Releases(release_service_pb2_grpc.ReleaseServiceServicer):
    def __init__(self, gateway: ScriptedGateway) -> None:
        self._gateway = gateway

    async def ListReleases(self, request, context):  # noqa: N802
        return await self._gateway.answer("ListReleases", request, context, release_pb.ListReleasesResponse())

    async def ActivateRelease(self, request, context):  # noqa: N802
        default = release_pb.ActivateReleaseResponse(release_id=request.release_id)
        return await self._gateway.answer("ActivateRelease", request, context, default)

    async def RollbackRelease(self, request, context):  # noqa: N802
        return await self._gateway.answer(
            "RollbackRelease", request, context, release_pb.RollbackReleaseResponse(release_id="before")
        )
