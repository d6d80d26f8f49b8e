"""Admission: when memory is full, what is asked once does not push out what is asked often."""

from __future__ import annotations

import itertools

import pytest
from cache_doubles import FakeClock

from benchmarks.cache.admission import hit_rate, shoppers, with_a_robot
from retrieval_gateway.cache import MemoryTier, Popularity, ResponseCache, TallyCounters

ROOM = 1000
"""Bytes: three entries of one byte each."""


def full_tier(popularity: Popularity, *, sights: int = 2, clock: FakeClock | None = None) -> MemoryTier:
    """Holds a, b and c, each seen once."""
    tier = MemoryTier(ROOM, popularity=popularity, sights=sights, clock=clock or FakeClock())
    for key in "abc":
        popularity.saw(key)
        assert tier.put(key, b"x", ttl_s=10), "there is room"
    return tier


def test_a_full_tier_admits_on_the_second_sight() -> None:
    popularity = Popularity()
    tier = full_tier(popularity)
    popularity.saw("d")
    assert not tier.put("d", b"x", ttl_s=10)
    popularity.saw("d")
    assert tier.put("d", b"x", ttl_s=10)
    assert [tier.get(key) for key in "abcd"] == [None, b"x", b"x", b"x"]


def test_or_on_a_later_one_if_so_set() -> None:
    popularity = Popularity()
    tier = full_tier(popularity, sights=4)
    outcomes = []
    for _ in range(4):
        popularity.saw("d")
        outcomes.append(tier.put("d", b"x", ttl_s=10))
    assert outcomes == [False, False, False, True]


def test_a_newcomer_must_be_worth_more_than_all_that_must_go() -> None:
    popularity = Popularity()
    tier = full_tier(popularity)
    for key in "aabb":
        popularity.saw(key)  # a and b are worth 3 each, c 1
    large = b"x" * 300  # the place of two
    for _ in range(6):
        popularity.saw("d")
    assert not tier.put("d", large, ttl_s=10), "6 is not more than 3 + 3"
    assert [tier.get(key) for key in "abc"] == [b"x"] * 3, "and then nothing goes"
    popularity.saw("d")
    assert tier.put("d", large, ttl_s=10)
    assert [tier.get(key) for key in "abcd"] == [None, None, b"x", large]


def test_what_has_expired_is_worth_nothing() -> None:
    clock, popularity = FakeClock(), Popularity()
    tier = full_tier(popularity, clock=clock)
    for _ in range(9):
        popularity.saw("a")
    clock.now += 11
    for _ in range(2):
        popularity.saw("d")
    assert tier.put("d", b"x", ttl_s=10)
    assert tier.get("d") == b"x"


async def test_the_cache_counts_what_it_did_not_keep() -> None:
    popularity, counters = Popularity(), TallyCounters()
    cache = ResponseCache(full_tier(popularity), None, counters, popularity=popularity)

    async def compute() -> bytes:
        return b"x"

    sources = [(await cache.get_or_compute("d", "r1", compute)).source for _ in range(3)]
    assert sources == ["computed", "computed", "memory"]
    assert counters.counts["not_admitted"] == 1
    await cache.close()


@pytest.mark.parametrize("robots", [0, 3])
def test_a_robots_walk_leaves_the_shoppers_their_hits(robots: int) -> None:
    plain = hit_rate(with_a_robot(shoppers(5, 12_000), robots), None)
    admitted = hit_rate(with_a_robot(shoppers(5, 12_000), robots), Popularity(8192))
    alone = hit_rate(shoppers(5, 12_000), Popularity(8192))
    assert admitted > plain + 0.03
    assert admitted > 0.95 * alone, "the robot takes next to nothing"
    if robots:
        assert plain < 0.8 * alone, "without admission it takes a good part"


def test_tastes_may_change() -> None:
    """A second crowd with other tastes soon has its hits too: the sketch forgets the first."""
    first = (f"formerly {query}" for query in shoppers(1, 8000))
    both = hit_rate(itertools.chain(first, shoppers(2, 8000)), Popularity(256))
    assert both > 0.85 * hit_rate(shoppers(2, 8000), Popularity(256))
