"""Prewarming: the hottest requests are answered for a release before it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from cache_doubles import settle

import faults
from retrieval_gateway.cache import (
    FakeSharedTier,
    Hot,
    MemoryTier,
    Popularity,
    ResponseCache,
    TallyCounters,
    cache_key,
    prewarm,
)

FOR_EVER_S = 60.0


def hot(*names: str) -> list[Hot]:
    return [Hot(name, 9) for name in names]


class Asked:
    """Notes what it is asked, and how many at once."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.at_once = self.most_at_once = 0
        self.let = asyncio.Event()
        self.let.set()

    async def __call__(self, name: str) -> None:
        self.names.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            await self.let.wait()
        finally:
            self.at_once -= 1
        if name == "gone":
            raise faults.NotFound("no such product")
        if name == "bug":
            raise ValueError("bug")


async def test_the_hottest_come_first_and_never_more_at_once_than_allowed() -> None:
    asked = Asked()
    done = await prewarm(hot(*"abcdefg"), asked, concurrency=3, limit_s=FOR_EVER_S)
    assert asked.names == list("abcdefg")
    assert asked.most_at_once == 3
    assert (done.answered, done.failed, done.left, done.problem) == (7, 0, 0, "")


async def test_nothing_to_do_is_done_at_once() -> None:
    assert (await prewarm([], Asked())).left == 0


async def test_what_fails_is_passed_over() -> None:
    done = await prewarm(hot("a", "gone", "bug", "b"), Asked(), concurrency=1, limit_s=FOR_EVER_S)
    assert (done.answered, done.failed, done.left, done.problem) == (2, 2, 0, "no such product")


async def test_when_the_time_is_up_the_rest_is_left_and_nothing_runs_on() -> None:
    asked = Asked()
    asked.let.clear()
    done = await prewarm(hot(*"abcdef"), asked, concurrency=2, limit_s=0.02)
    assert (done.answered, done.failed, done.left) == (0, 0, 6)
    assert asked.names == ["a", "b"]
    assert asked.at_once == 0


async def test_shoppers_go_first() -> None:
    asked, crowd = Asked(), [True]
    task = asyncio.create_task(prewarm(hot("a", "b"), asked, limit_s=FOR_EVER_S, busy=lambda: crowd[0]))
    await asyncio.sleep(0.02)
    assert asked.names == []
    crowd[0] = False
    assert (await task).answered == 2


async def test_under_an_endless_crowd_it_gives_up_in_time() -> None:
    asked = Asked()
    done = await prewarm(hot("a", "b"), asked, limit_s=0.02, busy=lambda: True)
    assert (done.left, asked.names) == (2, [])


class FakeGateway:
    """What the gateway's parts do around the cache: keys by release, a switch, and a counted tower."""

    def __init__(self, shared: FakeSharedTier, entries: int = 1000) -> None:
        popularity = Popularity()
        memory = MemoryTier(entries * 400, popularity=popularity)
        self.cache = ResponseCache(memory, shared, TallyCounters(), popularity=popularity)
        self.memory = memory
        self.serving = "r1"
        self.computed: list[tuple[str, str]] = []

    async def search(self, query: str, release: str = "") -> str:
        release = release or self.serving

        async def compute() -> bytes:
            await asyncio.sleep(0)
            self.computed.append((release, query))
            return f"{release} {query}".encode()

        key = cache_key(release, {"query": query})
        answer = await self.cache.get_or_compute(key, release, compute, replay=query)
        assert answer.payload.decode() == f"{release} {query}", "no reply of another release, ever"
        return answer.source

    async def switch(self, release: str, n: int = 100) -> None:
        """As the follower does: load, probe, prewarm, switch, and later let the old one go."""
        await prewarm(self.cache.hottest(n), lambda query: self.search(query, release), limit_s=FOR_EVER_S)
        old, self.serving = self.serving, release
        self.cache.forget_release(old)


@pytest.fixture
async def gateways() -> AsyncIterator[list[FakeGateway]]:
    shared = FakeSharedTier()
    gateways = [FakeGateway(shared), FakeGateway(shared)]
    yield gateways
    for gateway in gateways:
        await gateway.cache.close()


QUERIES = [f"query {number}" for number in range(20)]


async def test_after_a_switch_the_hottest_are_hits_from_the_first_request_on(
    gateways: list[FakeGateway],
) -> None:
    gateway = gateways[0]
    for number, query in enumerate(QUERIES):
        for _ in range(1 + number):
            await gateway.search(query)
    await gateway.switch("r2", n=15)
    assert len(gateway.memory) == 15, "the old release's answers are gone"
    before = len(gateway.computed)
    sources = [await gateway.search(query) for query in QUERIES]
    assert sources == ["computed"] * 5 + ["memory"] * 15
    assert gateway.computed[before:] == [("r2", query) for query in QUERIES[:5]]


async def test_what_one_gateway_prewarmed_the_next_finds(gateways: list[FakeGateway]) -> None:
    for gateway in gateways:
        for query in QUERIES:
            await gateway.search(query)
    for gateway in gateways:
        await gateway.switch("r2")
        await settle()
    assert [await gateways[1].search(query) for query in QUERIES] == ["memory"] * 20
    assert [release for release, _ in gateways[1].computed] == [], "the first gateway had computed all of it"


async def test_a_rollback_is_warm_as_well(gateways: list[FakeGateway]) -> None:
    gateway = gateways[0]
    for release in ("r2", "r1", "r2"):
        for query in QUERIES:
            await gateway.search(query)
        await settle()
        await gateway.switch(release)
    assert len(gateway.computed) == 2 * len(QUERIES), "each release once, however often it serves"


async def test_a_full_memory_takes_the_new_releases_answers_in() -> None:
    """They are as popular as the old release's own, and what serves must not wait for those to expire."""
    gateway = FakeGateway(FakeSharedTier(), entries=20)
    for number, query in enumerate(QUERIES * 2):
        for _ in range(1 + number % 20):
            await gateway.search(query)
    await gateway.switch("r2", n=5)
    hottest = QUERIES[-5:]
    assert [await gateway.search(query) for query in hottest] == ["memory"] * 5
    await gateway.cache.close()
