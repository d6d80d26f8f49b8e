"""Health: what is published is what is true now, and the end of service is final."""

import asyncio

from grpc_health.v1 import health_pb2

from retrieval_gateway.health import Health

SERVICES = ("vitrine.A", "vitrine.B")
Status = health_pb2.HealthCheckResponse.ServingStatus


async def states(health: Health) -> set[int]:
    requests = (health_pb2.HealthCheckRequest(service=name) for name in ("", *SERVICES))
    return {(await health.servicer.Check(request, None)).status for request in requests}


async def until(health: Health, state: int) -> None:
    async with asyncio.timeout(10):
        while await states(health) != {state}:
            await asyncio.sleep(0.01)


async def test_every_service_follows_the_truth_until_the_end():
    ready = [False]
    health = Health(SERVICES, lambda: ready[0])
    await health.publish(False)
    assert await states(health) == {Status.NOT_SERVING}
    task = asyncio.create_task(health.run())
    ready[0] = True
    await until(health, Status.SERVING)
    ready[0] = False
    await until(health, Status.NOT_SERVING)
    ready[0] = True
    await until(health, Status.SERVING)
    await health.stop_serving()
    assert await states(health) == {Status.NOT_SERVING}
    await asyncio.sleep(0.3)
    assert await states(health) == {Status.NOT_SERVING}, "a gateway that stops never serves again"
    task.cancel()
    await asyncio.wait([task])
