"""One computation over several gateways: shared where it can be, and never a reason to fail or to hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from cache_doubles import Computation, FakeClock, settle

import faults
from retrieval_gateway.cache import (
    CacheAnswer,
    FakeSharedTier,
    Lease,
    MemoryTier,
    ResponseCache,
    TallyCounters,
    cache_key,
    is_lease,
    new_lease,
    open_envelope,
    seal_envelope,
)

RELEASE = "r1"
KEY = cache_key(RELEASE, {"query": "red shoe"})
LONG_S = 30.0
SHORT_S = 0.05


class Gateways:
    """Two gateways' caches on one shared tier."""

    def __init__(self, tier: FakeSharedTier | None = None, lease_s: float = LONG_S) -> None:
        self.clock = FakeClock()
        self.tier = tier or FakeSharedTier(clock=self.clock)
        self.counters = [TallyCounters(), TallyCounters()]
        self.caches = [
            ResponseCache(MemoryTier(100_000), self.tier, counters, lease_s=lease_s)
            for counters in self.counters
        ]

    def ask(
        self, gateway: int, compute: Computation, budget_s: float | None = None
    ) -> asyncio.Task[CacheAnswer]:
        cache = self.caches[gateway]
        return asyncio.create_task(cache.get_or_compute(KEY, RELEASE, compute, budget_s=budget_s))

    def waited(self, gateway: int) -> dict[str, int]:
        counts = self.counters[gateway].counts
        return {kind.partition(":")[2]: counts[kind] for kind in counts if kind.startswith("waited:")}

    async def stored(self) -> bytes | None:
        value = await self.tier.get(KEY)
        return None if value is None else open_envelope(value, key=KEY, release_id=RELEASE)

    async def close(self) -> None:
        for cache in self.caches:
            await cache.close()


@pytest.fixture
async def gateways() -> AsyncIterator[Gateways]:
    gateways = Gateways()
    yield gateways
    await gateways.close()


async def test_while_one_gateway_computes_the_other_waits_for_its_answer(gateways: Gateways) -> None:
    mine, theirs = Computation(b"once"), Computation(b"twice")
    first, second = gateways.ask(0, mine), gateways.ask(1, theirs)
    await settle()
    assert is_lease(await gateways.tier.get(KEY) or b"")
    mine.release.set()
    assert await first == CacheAnswer(b"once", "computed")
    assert await second == CacheAnswer(b"once", "redis")
    assert (mine.started, theirs.started) == (1, 0)
    assert gateways.waited(1) == {"answered": 1}
    assert gateways.counters[1].counts["hit:redis"] == 1
    assert await gateways.stored() == b"once", "the answer took the lease's place"


async def test_when_the_holder_fails_the_next_takes_over_at_once(gateways: Gateways) -> None:
    mine, theirs = Computation(), Computation(b"theirs")
    mine.answer = faults.Unavailable("Triton is down")
    theirs.release.set()
    first, second = gateways.ask(0, mine), gateways.ask(1, theirs)
    await settle()
    mine.release.set()
    with pytest.raises(faults.Unavailable):
        await first
    assert await second == CacheAnswer(b"theirs", "computed")
    assert gateways.waited(1) == {"taken_over": 1}
    await settle()
    assert await gateways.stored() == b"theirs"


async def test_when_the_holders_last_caller_leaves_the_next_takes_over(gateways: Gateways) -> None:
    mine, theirs = Computation(), Computation(b"theirs")
    theirs.release.set()
    first, second = gateways.ask(0, mine), gateways.ask(1, theirs)
    await settle()
    first.cancel()
    assert (await second).source == "computed"
    assert (mine.cancelled, gateways.waited(1)) == (1, {"taken_over": 1})


async def test_a_dead_holders_lease_ends_and_the_next_takes_over(gateways: Gateways) -> None:
    await gateways.tier.get(KEY, new_lease(10.0))  # of a gateway that was killed
    compute = Computation()
    compute.release.set()
    waiting = gateways.ask(1, compute)
    await settle()
    assert compute.started == 0
    gateways.clock.now += 11.0
    assert (await waiting).source == "computed"
    assert gateways.waited(1) == {"taken_over": 1}


async def test_nobody_waits_longer_than_the_lease_is_given() -> None:
    gateways = Gateways(lease_s=SHORT_S)
    await gateways.tier.get(KEY, new_lease(10**6))  # nothing ends it: the clock of this tier stands still
    compute = Computation(b"mine")
    compute.release.set()
    assert await gateways.ask(0, compute) == CacheAnswer(b"mine", "computed")
    assert gateways.waited(0) == {"in_vain": 1}
    await settle()
    assert await gateways.stored() == b"mine", "the answer ends the lease that nothing else ended"
    await gateways.close()


async def test_nor_longer_than_half_of_what_its_caller_has_left(gateways: Gateways) -> None:
    await gateways.tier.get(KEY, new_lease(LONG_S))
    compute = Computation()
    compute.release.set()
    async with asyncio.timeout(LONG_S / 2):
        assert (await gateways.ask(0, compute, budget_s=2 * SHORT_S)).source == "computed"
    assert gateways.waited(0) == {"in_vain": 1}


class Silent(FakeSharedTier):
    """Does not answer look-ups."""

    async def get(self, key: str, lease: Lease | None = None) -> bytes | None:
        await asyncio.Event().wait()
        raise AssertionError(key, lease)


async def test_a_slow_tier_takes_at_most_half_of_what_the_caller_has_left() -> None:
    gateways = Gateways(Silent())
    compute = Computation()
    compute.release.set()
    async with asyncio.timeout(LONG_S):
        assert (await gateways.ask(0, compute, budget_s=2 * SHORT_S)).source == "computed"
    assert gateways.counters[0].counts["error:redis:timeout"] == 1
    await gateways.close()


async def test_a_tier_that_dies_while_one_waits_is_no_reason_to_wait_on(gateways: Gateways) -> None:
    await gateways.tier.get(KEY, new_lease(LONG_S))
    compute = Computation()
    compute.release.set()
    waiting = gateways.ask(0, compute)
    await settle()
    gateways.tier.down = True
    assert (await waiting).source == "computed"
    assert gateways.waited(0) == {"taken_over": 1}


async def test_poison_found_while_waiting_is_a_miss_and_counted(gateways: Gateways) -> None:
    await gateways.tier.get(KEY, new_lease(LONG_S))
    compute = Computation(b"mine")
    compute.release.set()
    waiting = gateways.ask(0, compute)
    await settle()
    await gateways.tier.put(KEY, seal_envelope(b"other", key="other", release_id=RELEASE), LONG_S)
    assert await waiting == CacheAnswer(b"mine", "computed")
    assert gateways.counters[0].counts["error:redis:poisoned"] == 1
    await settle()
    assert await gateways.stored() == b"mine"


class Unwilling(FakeSharedTier):
    """Stores nothing but leases, like a server for which the answer is too large."""

    async def put(self, *_: object) -> bool:
        return False


async def test_an_answer_that_cannot_be_stored_leaves_no_lease_behind() -> None:
    gateways = Gateways(Unwilling())
    compute = Computation()
    compute.release.set()
    assert (await gateways.ask(0, compute)).source == "computed"
    await settle()
    assert await gateways.tier.get(KEY) is None
    await gateways.close()


async def test_without_leases_every_gateway_computes_for_itself() -> None:
    gateways = Gateways(lease_s=0.0)
    computations = [Computation(), Computation()]
    asked = [gateways.ask(at, compute) for at, compute in enumerate(computations)]
    await settle()
    assert [compute.started for compute in computations] == [1, 1]
    assert await gateways.tier.get(KEY) is None
    for compute in computations:
        compute.release.set()
    assert [(await answer).source for answer in asked] == ["computed", "computed"]
    await gateways.close()


async def test_a_release_takes_only_its_own_lease_away(gateways: Gateways) -> None:
    mine, theirs = new_lease(LONG_S), new_lease(LONG_S)
    await gateways.tier.get(KEY, mine)
    await gateways.tier.release(KEY, theirs)
    assert await gateways.tier.get(KEY) == mine.value
    await gateways.tier.release(KEY, mine)
    assert await gateways.tier.get(KEY) is None


def test_a_lease_is_no_answer_and_an_answer_is_no_lease() -> None:
    lease = new_lease(1.0).value
    assert is_lease(lease)
    assert open_envelope(lease, key=KEY, release_id=RELEASE) is None
    for other in (
        b"",
        lease[:-1],
        lease + b"x",
        lease[1:] + b"x",
        seal_envelope(b"", key=KEY, release_id=""),
    ):
        assert not is_lease(other)
    assert len({new_lease(1.0).value for _ in range(100)}) == 100


async def test_closing_while_waiting_for_another_gateway(gateways: Gateways) -> None:
    await gateways.tier.get(KEY, new_lease(LONG_S))
    waiting = gateways.ask(0, Computation())
    await settle()
    await gateways.close()
    with pytest.raises(faults.Unavailable):
        await waiting
