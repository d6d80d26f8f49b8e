"""Health: what is published is what is true now, and the end of service is final."""

import asyncio

from grpc_health.v1 import health_pb2
from support.loops import looping

from retrieval_gateway.health import LIVENESS, Health

SEARCHES, RELEASES = "vitrine.A", "vitrine.B"
Status = health_pb2.HealthCheckResponse.ServingStatus


async def state(health: Health, service: str) -> int:
    return (await health.servicer.Check(health_pb2.HealthCheckRequest(service=service), None)).status


async def states(health: Health) -> list[int]:
    """Of the server, the searches, the releases, and of being alive."""
    return [await state(health, name) for name in ("", SEARCHES, RELEASES, LIVENESS)]


async def until(health: Health, expected: list[int]) -> None:
    async with asyncio.timeout(10):
        while await states(health) != expected:
            await asyncio.sleep(0.01)


UP, DOWN = Status.SERVING, Status.NOT_SERVING
READY, WAITING, LEAVING = [UP, UP, UP, UP], [DOWN, DOWN, UP, UP], [DOWN, DOWN, DOWN, UP]


async def test_each_service_follows_its_own_truth_until_the_end():
    ready = [False]
    health = Health((SEARCHES, RELEASES), lambda: ready[0], whenever_running=(RELEASES,))
    await health.publish(False)
    assert await states(health) == WAITING
    async with looping(health.run):
        ready[0] = True
        await until(health, READY)
        ready[0] = False
        await until(health, WAITING)
        ready[0] = True
        await until(health, READY)
        await health.stop_serving()
        assert await states(health) == LEAVING, "alive, but no longer to be asked"
        await asyncio.sleep(0.3)
        assert await states(health) == LEAVING, "a gateway that stops never serves again"


async def test_balancers_get_the_time_to_see_it():
    health = Health((SEARCHES,), lambda: True, lame_duck_s=3600.0)
    await health.publish(True)
    leaving = asyncio.create_task(health.stop_serving())
    await asyncio.sleep(0.05)
    assert await state(health, SEARCHES) == DOWN
    assert not leaving.done()
    leaving.cancel()
    await asyncio.wait([leaving])


async def test_a_gateway_that_never_served_has_nobody_to_wait_for():
    health = Health((SEARCHES,), lambda: False, lame_duck_s=3600.0)
    await health.publish(False)
    async with asyncio.timeout(10):
        await health.stop_serving()


async def test_whoever_watches_is_told_of_every_change():
    """What clients' balancing relies on: a push, not a poll."""
    health = Health((SEARCHES,), lambda: True)
    await health.publish(True)
    seen = asyncio.Queue()

    class Context:
        async def write(self, reply) -> None:
            seen.put_nowait(reply.status)

    watching = asyncio.create_task(
        health.servicer.Watch(health_pb2.HealthCheckRequest(service=SEARCHES), Context())
    )
    async with asyncio.timeout(10):
        assert await seen.get() == UP
        await health.publish(False)
        assert await seen.get() == DOWN
        await health.publish(True)
        assert await seen.get() == UP
        await health.stop_serving()
        assert await seen.get() == DOWN
    watching.cancel()
    await asyncio.wait([watching])
