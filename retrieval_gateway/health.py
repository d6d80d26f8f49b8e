"""grpc.health.v1, told the truth: SERVING means that a real inference just worked.

Triton calls a model with a dead stub ready; so the health here comes from the keeper's
probe of the serving release, not from anybody's readiness flag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]

_POLL_S = 0.1


class Health:
    """Publishes one state for the server ("") and each of its services.

    Args:
        services: full names of the services.
        ready: whether a search would be answered now.
    """

    def __init__(self, services: Sequence[str], ready: Callable[[], bool]) -> None:
        self.servicer = health_aio.HealthServicer()
        self._services = ("", *services)
        self._ready = ready

    async def run(self) -> None:
        """Follows ``ready`` until cancelled."""
        while True:
            await self.publish(self._ready())
            await asyncio.sleep(_POLL_S)

    async def stop_serving(self) -> None:
        """NOT_SERVING for good: balancers must look elsewhere before the listener closes."""
        await self.servicer.enter_graceful_shutdown()

    async def publish(self, ready: bool) -> None:
        """Publishes one state; call it before the server listens, since grpcio's own first is SERVING."""
        states = health_pb2.HealthCheckResponse.ServingStatus
        for service in self._services:
            await self.servicer.set(service, states.SERVING if ready else states.NOT_SERVING)
