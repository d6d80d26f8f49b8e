"""One list of scenarios for the stand-in and for a real server, and the real server's deaths."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cache_doubles import Computation, FakeClock, settle
from redis.asyncio import Redis

from retrieval_gateway.cache import (
    FakeSharedTier,
    MemoryTier,
    RedisTier,
    ResponseCache,
    SharedTier,
    TallyCounters,
    cache_key,
    new_lease,
)
from runtime.ports import free_port
from runtime.valkey import ValkeyServer, ValkeySettings

GENEROUS_S = 5.0
"""Time limit where a test is not about time: the machine may be busy."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(ValkeySettings(port=free_port(), folder=tmp_path_factory.mktemp("valkey")))
    server.start()
    yield server
    server.stop(5.0)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that a test may kill."""
    server = ValkeyServer(ValkeySettings(port=free_port(), folder=tmp_path))
    server.start()
    yield server
    server.stop(5.0)


@pytest.fixture(params=["fake", pytest.param("valkey", marks=pytest.mark.services)])
async def tier(request: pytest.FixtureRequest) -> AsyncIterator[SharedTier]:
    made: SharedTier
    if request.param == "fake":
        made = FakeSharedTier()
    else:
        made = RedisTier(request.getfixturevalue("server").url, TallyCounters(), timeout_s=GENEROUS_S)
    yield made
    await made.close()


async def test_what_was_put_is_got(tier: SharedTier) -> None:
    value = bytes(range(256)) * 20
    assert await tier.get("t:absent") is None
    assert await tier.put("t:a", value, 60)
    assert await tier.put("t:empty", b"", 60)
    assert await tier.get("t:a") == value
    assert await tier.get("t:empty") == b""
    assert await tier.put("t:a", b"new", 60)
    assert await tier.get("t:a") == b"new"


async def test_a_value_expires(tier: SharedTier) -> None:
    assert await tier.put("t:short", b"x", 0.02)
    await asyncio.sleep(0.1)
    assert await tier.get("t:short") is None


async def test_calls_at_once_get_their_own_values(tier: SharedTier) -> None:
    keys = [f"t:{i}" for i in range(40)]
    await asyncio.gather(*(tier.put(key, key.encode(), 60) for key in keys))
    assert await asyncio.gather(*(tier.get(key) for key in keys)) == [key.encode() for key in keys]


async def test_after_a_cancelled_call_nobody_reads_anothers_answer(tier: SharedTier) -> None:
    keys = [f"t:c{i}" for i in range(30)]
    for key in keys:
        await tier.put(key, key.encode(), 60)
    for turns in range(6):
        calls = [asyncio.create_task(tier.get(key)) for key in keys]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for key, answer in zip(keys, answers, strict=True):
            assert isinstance(answer, asyncio.CancelledError) or answer == key.encode()
        assert await tier.get(keys[0]) == keys[0].encode()


async def test_a_lease_takes_the_place_of_what_is_not_there(tier: SharedTier) -> None:
    mine, theirs = new_lease(60.0), new_lease(60.0)
    assert await tier.get("t:leased", mine) is None
    assert await tier.get("t:leased", theirs) == mine.value
    assert await tier.get("t:leased") == mine.value
    assert await tier.put("t:leased", b"answer", 60)
    assert await tier.get("t:leased", theirs) == b"answer"


async def test_a_lease_ends_by_itself_or_by_its_owner(tier: SharedTier) -> None:
    mine, theirs = new_lease(0.02), new_lease(60.0)
    assert await tier.get("t:ends", mine) is None
    await asyncio.sleep(0.1)
    assert await tier.get("t:ends", theirs) is None
    await tier.release("t:ends", mine)
    assert await tier.get("t:ends") == theirs.value
    await tier.release("t:ends", theirs)
    assert await tier.get("t:ends") is None
    await tier.put("t:ends", b"answer", 60)
    await tier.release("t:ends", theirs)
    assert await tier.get("t:ends") == b"answer"


async def test_of_those_who_miss_at_once_one_gets_the_lease(tier: SharedTier) -> None:
    leases = [new_lease(60.0) for _ in range(30)]
    found = await asyncio.gather(*(tier.get("t:race", lease) for lease in leases))
    assert found == [None] + [leases[0].value] * 29


async def test_with_and_without_a_lease_in_one_turn(tier: SharedTier) -> None:
    await tier.put("t:there", b"x", 60)
    lease = new_lease(60.0)
    keys = [("t:there", lease), ("t:not", lease), ("t:nor", None)]
    assert await asyncio.gather(*(tier.get(key, one) for key, one in keys)) == [b"x", None, None]
    assert [await tier.get(key) for key, _ in keys] == [b"x", lease.value, None]


async def test_after_closing_everything_is_a_miss(tier: SharedTier) -> None:
    await tier.put("t:a", b"x", 60)
    await tier.close()
    assert await tier.get("t:a") is None
    assert not await tier.put("t:a", b"x", 60)


def redis_tier(
    url: str, *, timeout_s: float = GENEROUS_S, clock: Callable[[], float] | None = None
) -> tuple[RedisTier, TallyCounters]:
    counters = TallyCounters()
    return RedisTier(url, counters, timeout_s=timeout_s, pause_s=10.0, clock=clock or FakeClock()), counters


async def test_no_server_is_a_miss_with_one_try_a_pause() -> None:
    clock = FakeClock()
    tier, counters = redis_tier(f"redis://127.0.0.1:{free_port()}/0", clock=clock)
    for _ in range(5):
        assert await tier.get("a") is None
    assert not await tier.put("a", b"x", 1)
    assert counters.counts == {"error:redis:connection": 1}
    clock.now += 10.0
    assert await asyncio.gather(*(tier.get("a") for _ in range(20))) == [None] * 20
    assert counters.counts == {"error:redis:connection": 2}
    await tier.close()


async def test_a_clock_that_goes_back_ends_the_pause() -> None:
    clock = FakeClock()
    tier, counters = redis_tier(f"redis://127.0.0.1:{free_port()}/0", clock=clock)
    assert [await tier.get("a"), await tier.get("a")] == [None, None]
    clock.now -= 1000.0
    assert await tier.get("a") is None
    assert counters.counts == {"error:redis:connection": 2}
    await tier.close()


async def test_a_value_that_is_too_large_is_not_sent() -> None:
    counters = TallyCounters()
    tier = RedisTier(f"redis://127.0.0.1:{free_port()}/0", counters, max_value_bytes=10)
    assert not await tier.put("a", b"x" * 11, 1)
    assert counters.counts == {"error:redis:too_large": 1}
    await tier.close()


@pytest.mark.services
async def test_a_killed_server_is_a_miss_and_its_restart_recovers(own_server: ValkeyServer) -> None:
    clock = FakeClock()
    tier, counters = redis_tier(own_server.url, clock=clock)
    assert await tier.put("a", b"x", 60)
    assert own_server.pid is not None
    os.kill(own_server.pid, signal.SIGKILL)
    assert await tier.get("a") is None
    assert counters.counts["error:redis:connection"] == 1
    own_server.stop(5.0)
    own_server.start()
    assert await tier.get("a") is None  # still the pause
    clock.now += 10.0
    assert await tier.put("a", b"y", 60)
    assert await tier.get("a") == b"y"
    await tier.close()


@pytest.mark.services
async def test_a_server_that_hangs_is_a_timeout_and_recovers(own_server: ValkeyServer) -> None:
    clock = FakeClock()
    tier, counters = redis_tier(own_server.url, timeout_s=0.2, clock=clock)
    assert own_server.pid is not None
    os.kill(own_server.pid, signal.SIGSTOP)
    assert await tier.get("a") is None
    assert counters.counts == {"error:redis:timeout": 1}
    os.kill(own_server.pid, signal.SIGCONT)
    clock.now += 10.0
    assert await tier.put("a", b"x", 60)
    assert await tier.get("a") == b"x"
    await tier.close()


@pytest.mark.services
async def test_what_is_asked_in_one_turn_is_one_command(own_server: ValkeyServer) -> None:
    tier, _ = redis_tier(own_server.url)
    keys = [f"t:{number}" for number in range(150)]
    async with Redis.from_url(own_server.url) as observer:
        assert all(await asyncio.gather(*(tier.put(key, key.encode(), 60) for key in keys)))
        assert await tier.get("t:0", new_lease(1.0)) == b"t:0"  # the script is known from here on
        before = await calls(observer)
        found = await asyncio.gather(*(tier.get(key, new_lease(1.0)) for key in keys))
        after = await calls(observer)
    assert found == [key.encode() for key in keys]
    assert after["evalsha"] - before["evalsha"] == 3, "64, 64 and 22"
    assert after.get("eval", 0) == before.get("eval", 0)
    await tier.close()


async def calls(observer: Redis) -> dict[str, int]:
    """How often the server was called, by command."""
    stats = await observer.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


@pytest.mark.services
async def test_a_value_of_another_type_is_foreign_and_spoils_nothing(server: ValkeyServer) -> None:
    tier, counters = redis_tier(server.url)
    async with Redis.from_url(server.url) as stranger:
        await stranger.rpush("t:list", "not a string")
    await tier.put("t:beside", b"x", 60)
    lease = new_lease(60.0)
    assert await asyncio.gather(tier.get("t:list", lease), tier.get("t:beside", lease)) == [b"", b"x"]
    assert counters.counts == {}
    assert await tier.put("t:list", b"x", 60)
    assert await tier.get("t:list") == b"x"
    await tier.close()


@pytest.mark.services
async def test_a_user_who_may_run_no_scripts_goes_without_leases(own_server: ValkeyServer) -> None:
    async with Redis.from_url(own_server.url) as admin:
        await admin.acl_setuser(
            "plain", enabled=True, passwords=["+word"], keys=["*"], categories=["+@all", "-@scripting"]
        )
    tier, counters = redis_tier(own_server.url.replace("redis://", "redis://plain:word@"))
    await tier.put("t:a", b"x", 60)
    lease = new_lease(60.0)
    assert await asyncio.gather(tier.get("t:a", lease), tier.get("t:b", lease)) == [b"x", None]
    assert await tier.get("t:b") is None
    await tier.release("t:a", lease)
    assert counters.counts == {"error:redis:refused": 3}
    await tier.close()


@pytest.mark.services
async def test_the_whole_cache_through_poison_and_death(own_server: ValkeyServer) -> None:
    counters, clock, compute = TallyCounters(), FakeClock(), Computation()
    compute.release.set()
    tier = RedisTier(own_server.url, counters, timeout_s=GENEROUS_S, pause_s=10.0, clock=clock)
    memory = MemoryTier(100_000)
    cache = ResponseCache(memory, tier, counters)
    key = cache_key("r1", {"query": "red shoe"})

    async def source() -> str:
        memory.clear()
        answer = await cache.get_or_compute(key, "r1", compute)
        assert answer.payload == b"answer"
        await stored(own_server, key)
        return answer.source

    assert [await source(), await source()] == ["computed", "redis"]
    async with Redis.from_url(own_server.url) as stranger:
        await stranger.set(key, b"poison")
    assert [await source(), await source()] == ["computed", "redis"]
    assert counters.counts["error:redis:poisoned"] == 1
    assert own_server.pid is not None
    os.kill(own_server.pid, signal.SIGKILL)
    memory.clear()
    assert (await cache.get_or_compute(key, "r1", compute)).source == "computed"
    own_server.stop(5.0)
    own_server.start()
    clock.now += 10.0
    assert [await source(), await source()] == ["computed", "redis"]
    await cache.close()


async def stored(server: ValkeyServer, key: str) -> None:
    """Waits until the value has been written: the cache does that beside the answer."""
    async with Redis.from_url(server.url) as observer:
        while await observer.strlen(key) < 50:
            await settle()
