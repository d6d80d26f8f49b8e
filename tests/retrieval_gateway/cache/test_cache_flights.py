"""One computation a key: shared, surviving one caller, stopped with the last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from cache_doubles import Computation, FakeClock, settle

import faults
from retrieval_gateway.cache import (
    CacheAnswer,
    FakeSharedTier,
    MemoryTier,
    Popularity,
    ResponseCache,
    TallyCounters,
    cache_key,
    open_envelope,
    seal_envelope,
)

RELEASE = "r1"
KEY = cache_key(RELEASE, {"query": "red shoe"})


class Bench:
    """A cache with everything around it that a test wants to look at."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.memory = MemoryTier(100_000, clock=self.clock)
        self.shared = FakeSharedTier(clock=self.clock)
        self.counters = TallyCounters()
        self.cache = ResponseCache(
            self.memory, self.shared, self.counters, ttl_s=100, ttl_jitter=0.2, uniform=lambda: 0.5
        )

    def ask(self, compute: Computation, key: str = KEY) -> asyncio.Task[CacheAnswer]:
        return asyncio.create_task(self.cache.get_or_compute(key, RELEASE, compute))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.cache.close()


async def test_computed_once_then_from_memory_then_from_redis(bench: Bench) -> None:
    compute = Computation()
    compute.release.set()
    assert await bench.ask(compute) == CacheAnswer(b"answer", "computed")
    assert await bench.ask(compute) == CacheAnswer(b"answer", "memory")
    await settle()
    bench.memory.clear()
    assert await bench.ask(compute) == CacheAnswer(b"answer", "redis")
    assert await bench.ask(compute) == CacheAnswer(b"answer", "memory")
    assert compute.started == 1
    assert bench.counters.counts == {"miss:memory": 2, "miss:redis": 1, "hit:memory": 2, "hit:redis": 1}


async def test_callers_at_once_share_one_computation(bench: Bench) -> None:
    compute = Computation()
    callers = [bench.ask(compute) for _ in range(50)]
    other = bench.ask(compute, key=cache_key(RELEASE, {"query": "blue shoe"}))
    await settle()
    compute.release.set()
    answers = await asyncio.gather(*callers)
    assert [answer.source for answer in answers] == ["computed"] + ["flight"] * 49
    assert {answer.payload for answer in answers} == {b"answer"}
    assert (await other).source == "computed"
    assert compute.started == 2
    assert bench.counters.counts["shared"] == 49


async def test_the_computation_survives_the_caller_who_began_it(bench: Bench) -> None:
    compute = Computation()
    first, second = bench.ask(compute), bench.ask(compute)
    await settle()
    first.cancel()
    await settle()
    compute.release.set()
    assert await second == CacheAnswer(b"answer", "flight")
    assert first.cancelled()
    assert (compute.started, compute.cancelled) == (1, 0)


async def test_the_computation_stops_with_the_last_caller_and_a_new_one_begins_anew(bench: Bench) -> None:
    compute = Computation()
    callers = [bench.ask(compute) for _ in range(3)]
    await settle()
    for caller in callers:
        caller.cancel()
    await settle()
    assert (compute.started, compute.cancelled) == (1, 1)
    assert len(bench.memory) == 0
    again = bench.ask(compute)
    await settle()
    compute.release.set()
    assert await again == CacheAnswer(b"answer", "computed")
    assert compute.started == 2


async def test_an_error_reaches_everyone_and_is_not_kept(bench: Bench) -> None:
    compute = Computation()
    compute.answer = faults.Unavailable("Triton is down")
    callers = [bench.ask(compute) for _ in range(3)]
    await settle()
    compute.release.set()
    for outcome in await asyncio.gather(*callers, return_exceptions=True):
        assert isinstance(outcome, faults.Unavailable)
    compute.answer = b"back"
    assert await bench.ask(compute) == CacheAnswer(b"back", "computed")
    assert compute.started == 2


async def test_an_error_that_nobody_waits_for_is_silent(bench: Bench) -> None:
    compute = Computation()
    compute.answer = ValueError("bug")
    caller = bench.ask(compute)
    await settle()
    caller.cancel()
    compute.release.set()
    await settle()
    assert caller.cancelled()


async def test_another_callers_deadline_is_not_mine(bench: Bench) -> None:
    hurried, patient = Computation(), Computation()
    hurried.answer = faults.DeadlineExceeded("too late")
    first, second, third = bench.ask(hurried), bench.ask(patient), bench.ask(patient)
    await settle()
    hurried.release.set()
    patient.release.set()
    with pytest.raises(faults.DeadlineExceeded):
        await first
    assert sorted([(await second).source, (await third).source]) == ["computed", "flight"]
    assert patient.started == 1


async def test_values_that_are_not_ours_are_computed_again_and_replaced(bench: Bench) -> None:
    compute = Computation()
    compute.release.set()
    sealed = seal_envelope(b"old", key=KEY, release_id=RELEASE)
    poisons = [b"", b"foreign", sealed[:-1], seal_envelope(b"x", key="other", release_id=RELEASE)]
    for poison in poisons:
        bench.memory.clear()
        await bench.shared.put(KEY, poison, 100)
        assert (await bench.ask(compute)).source == "computed"
        await settle()
        value = await bench.shared.get(KEY)
        assert value is not None
        assert open_envelope(value, key=KEY, release_id=RELEASE) == b"answer"
    assert bench.counters.counts["error:redis:poisoned"] == len(poisons)


async def test_without_a_shared_tier_and_with_one_that_is_down(bench: Bench) -> None:
    compute = Computation()
    compute.release.set()
    alone = ResponseCache(MemoryTier(0), None, bench.counters)
    assert (await alone.get_or_compute(KEY, RELEASE, compute)).source == "computed"
    assert (await alone.get_or_compute(KEY, RELEASE, compute)).source == "computed"
    await alone.close()
    bench.shared.down = True
    assert (await bench.ask(compute)).source == "computed"


async def test_answers_live_for_the_ttl_less_jitter(bench: Bench) -> None:
    compute = Computation()
    compute.release.set()
    await bench.ask(compute)
    await settle()
    bench.clock.now += 89.9  # 100 s less .5 of 20 %
    assert (await bench.ask(compute)).source == "memory"
    bench.clock.now += 0.2
    assert (await bench.ask(compute)).source == "computed"


async def test_nobody_looks_at_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets it changes nothing: it is broken here, and everything goes on."""
    memory, counters, compute = MemoryTier(100_000), TallyCounters(), Computation()
    cache = ResponseCache(memory, FakeSharedTier(), counters, popularity=Popularity())
    compute.release.set()
    monkeypatch.setattr(time, "time", None)
    monkeypatch.setattr(time, "time_ns", None)
    sources = []
    for _ in range(2):
        sources.append((await cache.get_or_compute(KEY, RELEASE, compute, budget_s=9.0)).source)
        await settle()
    memory.clear()
    sources.append((await cache.get_or_compute(KEY, RELEASE, compute, budget_s=9.0)).source)
    assert sources == ["computed", "memory", "redis"]
    await cache.close()


async def test_closing_stops_flights_and_tells_their_callers(bench: Bench) -> None:
    compute = Computation()
    flying = bench.ask(compute)
    await settle()
    not_begun = bench.ask(compute, key="vitrine:r1:other")
    await asyncio.sleep(0)  # its flight exists, but has not taken a step
    await bench.cache.close()
    for caller in (flying, not_begun):
        with pytest.raises(faults.Unavailable):
            await caller
    with pytest.raises(faults.Unavailable, match="stopping"):
        await bench.ask(compute)
