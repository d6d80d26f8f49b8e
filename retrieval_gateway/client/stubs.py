"""The gateway's services on one channel."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2_grpc

from retrieval_gateway.api.generated import release_service_pb2_grpc, retrieval_service_pb2_grpc

__all__ = ["Stubs"]


class Stubs:
    """The stubs of one channel, of ``grpc`` or of ``grpc.aio``."""

    def __init__(self, channel: Any) -> None:
        self.retrieval: Any = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
        self.releases: Any = release_service_pb2_grpc.ReleaseServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)
