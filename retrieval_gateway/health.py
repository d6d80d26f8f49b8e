"""grpc.health.v1, told the truth: SERVING means that a real inference just worked.

Triton calls a model with a dead stub ready; so the health here comes from the keeper's
probe of the serving release, not from anybody's readiness flag.

Three names, three questions. ``liveness``: does the process's loop run? It is SERVING for as long as
anybody can be told so; restart a gateway by it and by nothing stricter. The server ("") and
RetrievalService: would a search be answered? Route by it. ReleaseService answers whenever the
gateway runs: it is what a gateway without a release needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]

LIVENESS = "liveness"

_POLL_S = 0.1
_States = health_pb2.HealthCheckResponse.ServingStatus


class Health:
    """Publishes a state for the server ("") and each of its services.

    Args:
        services: full names of the services that answer searches.
        ready: whether a search would be answered now.
        whenever_running: full names of the services that answer even if no search would be.
        lame_duck_s: how long requests are still taken after NOT_SERVING was said, so that balancers
            have seen it before anything is refused (what Google's SRE book calls a lame duck).
    """

    def __init__(
        self,
        services: Sequence[str],
        ready: Callable[[], bool],
        whenever_running: Sequence[str] = (),
        lame_duck_s: float = 0.0,
    ) -> None:
        self.servicer = health_aio.HealthServicer()
        self._by_readiness = ("", *(name for name in services if name not in whenever_running))
        self._whenever_running = tuple(whenever_running)
        self._ready = ready
        self._lame_duck_s = lame_duck_s
        self._stopping = False
        self._served = False

    async def run(self) -> None:
        """Follows ``ready`` until cancelled."""
        while True:
            await self.publish(self._ready())
            await asyncio.sleep(_POLL_S)

    async def stop_serving(self) -> None:
        """NOT_SERVING for good: balancers must look elsewhere before the listener closes.

        Returns when they had the time to; at once, if nobody was ever told to come.
        """
        self._stopping = True
        for service in (*self._by_readiness, *self._whenever_running):
            await self.servicer.set(service, _States.NOT_SERVING)
        if self._served:
            await asyncio.sleep(self._lame_duck_s)

    async def publish(self, ready: bool) -> None:
        """Publishes one state; call it before the server listens, since grpcio's own first is SERVING."""
        if self._stopping:
            return
        self._served |= ready
        for service in self._by_readiness:
            await self.servicer.set(service, _States.SERVING if ready else _States.NOT_SERVING)
        for service in (LIVENESS, *self._whenever_running):
            await self.servicer.set(service, _States.SERVING)
