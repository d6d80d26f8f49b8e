"""The hottest requests: known by name over releases, bounded, and open to newcomers."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.cache import Hot, MemoryTier, Popularity, ResponseCache, TallyCounters, cache_key
from retrieval_gateway.cache.hottest import HottestRequests


def key(query: str, release: str = "r1") -> str:
    return cache_key(release, {"query": query})


def test_the_hottest_come_first_and_a_release_does_not_matter() -> None:
    popularity = Popularity()
    for query, times in (("lamp", 1), ("mug", 5), ("shoe", 3)):
        for number in range(times):
            popularity.saw(key(query, f"r{number % 2}"), replay=query)
    assert popularity.hottest(2) == [Hot("mug", 5), Hot("shoe", 3)]
    assert popularity.hottest(9) == [Hot("mug", 5), Hot("shoe", 3), Hot("lamp", 1)]
    assert popularity.frequency(key("mug", "r7")) == 5


def test_what_brings_no_replay_token_is_counted_but_not_listed() -> None:
    popularity = Popularity()
    popularity.saw(key("picture"))
    assert popularity.frequency(key("picture")) == 1
    assert popularity.hottest(9) == []


def test_a_newcomer_takes_the_coldest_place_once_it_is_hotter() -> None:
    popularity = Popularity(capacity=2)
    for query in ("mug", "mug", "mug", "shoe", "shoe", "lamp", "lamp"):
        popularity.saw(key(query), replay=query)
    assert {hot.replay for hot in popularity.hottest(9)} == {"mug", "shoe"}
    popularity.saw(key("lamp"), replay="lamp")
    assert {hot.replay for hot in popularity.hottest(9)} == {"mug", "lamp"}


def test_of_a_long_stream_it_keeps_the_head() -> None:
    """20,000 requests of 5,000 kinds after Zipf: of the 50 asked most, at least 45 are in a list of 64."""
    draw = random.Random(3)
    queries = draw.choices(range(5000), [1 / rank for rank in range(1, 5001)], k=20_000)
    popularity = Popularity(width=8192, capacity=64)
    for query in queries:
        popularity.saw(key(str(query)), replay=query)
    listed = {hot.replay for hot in popularity.hottest(64)}
    truth = sorted(set(queries), key=queries.count, reverse=True)[:50]
    assert len(listed & set(truth)) >= 45


def test_yesterdays_favourite_makes_room() -> None:
    """The sketch of 64 counters halves after 512 sights: 100 becomes 50, 25, … and the new one wins."""
    popularity = Popularity(width=64, capacity=1)
    for _ in range(100):
        popularity.saw(key("coat"), replay="coat")
    for _ in range(4):
        popularity.saw(key("bikini"), replay="bikini")
    assert [hot.replay for hot in popularity.hottest(1)] == ["coat"]
    for number in range(512 * 7):
        popularity.saw(key("bikini" if number % 50 == 0 else str(number)), replay="bikini")
    assert [hot.replay for hot in popularity.hottest(1)] == ["bikini"]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 255)), max_size=60), st.integers(0, 3))
def test_the_list_never_grows_over_its_bound(sights: list[tuple[str, int]], capacity: int) -> None:
    hottest = HottestRequests(capacity)
    for at, (request, count) in enumerate(sights):
        hottest.saw(request, count, request)
        assert len(hottest) <= capacity
        if at % 7 == 6:
            hottest.halve()
    counts = [hot.count for hot in hottest.hottest(10)]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == len(hottest)


async def test_the_cache_hands_out_what_its_callers_gave() -> None:
    popularity = Popularity()
    cache = ResponseCache(MemoryTier(10_000), None, TallyCounters(), popularity=popularity)

    async def compute() -> bytes:
        return b"x"

    for query in ("mug", "mug", "lamp"):
        await cache.get_or_compute(key(query), "r1", compute, replay=query.encode())
    assert cache.hottest(1) == [Hot(b"mug", 2)]
    assert ResponseCache(MemoryTier(0), None, TallyCounters()).hottest(5) == []
    await cache.close()
