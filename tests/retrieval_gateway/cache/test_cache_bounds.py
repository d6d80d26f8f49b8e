"""Whatever happens to a cache, what it holds stays bounded, and what it says it holds is what it holds."""

from __future__ import annotations

import asyncio
from typing import Any

from cache_doubles import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

import faults
from retrieval_gateway.cache import (
    FakeSharedTier,
    MemoryTier,
    Popularity,
    ResponseCache,
    TallyCounters,
    cache_key,
)

MEMORY, LISTED, WIDTH = 3000, 4, 16

OPERATIONS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 12), st.sampled_from([0, 1, 40, 300, 2500, 4000])),
    st.tuples(st.just("fail"), st.integers(0, 12)),
    st.tuples(st.just("leave"), st.integers(0, 12)),
    st.tuples(st.just("wait"), st.floats(-200, 200)),
    st.tuples(st.just("down"), st.booleans()),
    st.tuples(st.just("forget"), st.integers(0, 1)),
    st.tuples(st.just("crowd"), st.integers(0, 12)),
)


class Watched:
    """A cache, and what may be said of it at any time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.popularity = Popularity(WIDTH, LISTED)
        self.memory = MemoryTier(MEMORY, popularity=self.popularity, clock=self.clock)
        self.shared = FakeSharedTier(clock=self.clock)
        self.cache = ResponseCache(
            self.memory, self.shared, TallyCounters(), popularity=self.popularity, ttl_s=100, lease_s=0.001
        )

    async def ask(self, number: int, size: int = 10, error: Exception | None = None) -> None:
        async def compute() -> bytes:
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return bytes(size)

        release = f"r{number % 2}"
        await self.cache.get_or_compute(cache_key(release, {"n": number}), release, compute, replay=number)

    async def do(self, operation: tuple[Any, ...]) -> None:
        match operation:
            case ("ask", number, size):
                await self.ask(number, size)
            case ("fail", number):
                await asyncio.gather(
                    self.ask(number, error=faults.Unavailable("down")), return_exceptions=True
                )
            case ("leave", number):
                task = asyncio.create_task(self.ask(number))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            case ("crowd", number):
                await asyncio.gather(*(self.ask(number + at % 3) for at in range(9)))
            case ("wait", seconds):
                self.clock.now += seconds
            case ("down", down):
                self.shared.down = down
            case ("forget", release):
                self.cache.forget_release(f"r{release}")

    def check(self) -> None:
        held = {key: entry.payload for key, entry in self.memory._entries.items()}
        assert self.memory.held_bytes == sum(len(key) + len(payload) + 300 for key, payload in held.items())
        assert 0 <= self.memory.held_bytes <= MEMORY
        assert len(self.memory) == len(held)
        assert len(self.cache.hottest(100)) <= LISTED
        assert self.popularity._sketch.held_bytes == 4 * WIDTH


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
def test_over_any_operations_every_bound_holds(operations: list[tuple[Any, ...]]) -> None:
    async def scenario() -> None:
        watched = Watched()
        for operation in operations:
            await watched.do(operation)
            watched.check()
        for _ in range(20):
            await asyncio.sleep(0)
        assert watched.cache.under_way == 0, "no flight outlives its callers"
        shared = watched.cache._shared
        assert shared is not None
        assert shared._writes == set()
        await watched.cache.close()
        # What is left in the shared tier ends by itself, however far the clock was put back.
        watched.shared.down = False
        watched.clock.now += 101 + 200 * len(operations)
        assert all([await watched.shared.get(cache_key(f"r{n % 2}", {"n": n})) is None for n in range(13)])

    asyncio.run(scenario())


class Stuck(FakeSharedTier):
    """Never finishes storing, until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def put(self, key: str, value: bytes, ttl_s: float) -> bool:
        await self.let.wait()
        return await super().put(key, value, ttl_s)


async def test_writes_that_pile_up_are_dropped_not_kept() -> None:
    tier, counters = Stuck(), TallyCounters()
    cache = ResponseCache(MemoryTier(0), tier, counters)

    async def compute() -> bytes:
        return b"x"

    for number in range(300):
        await cache.get_or_compute(cache_key("r1", {"n": number}), "r1", compute)
    assert counters.counts["error:redis:busy"] == 300 - 256
    tier.let.set()
    await cache.close()


def test_a_hundred_thousand_kinds_of_requests_leave_the_lists_as_large_as_they_were() -> None:
    popularity = Popularity(1024, 64)
    for number in range(100_000):
        popularity.saw(f"vitrine:r:{number}", replay=number)
    assert len(popularity.hottest(1000)) == 64
    assert popularity._sketch.held_bytes == 4096
