"""The tier in memory: bounded in bytes and age."""

from __future__ import annotations

import os
import tracemalloc

from cache_doubles import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.cache import MemoryTier, cache_key


def test_an_entry_lives_until_its_time_is_up() -> None:
    clock = FakeClock()
    tier = MemoryTier(10_000, clock=clock)
    tier.put("a", b"1", ttl_s=10)
    clock.now += 9.9
    assert tier.get("a") == b"1"
    clock.now += 0.1
    assert tier.get("a") is None
    assert (len(tier), tier.held_bytes) == (0, 0)


def test_a_clock_that_goes_back_lets_nothing_live_longer() -> None:
    """A monotonic clock does not, unless the process was frozen and set up again elsewhere."""
    clock = FakeClock()
    tier = MemoryTier(10_000, clock=clock)
    tier.put("a", b"1", ttl_s=10)
    clock.now -= 500
    assert tier.get("a") is None
    assert tier.held_bytes == 0
    tier.put("b", b"1", ttl_s=10)
    clock.now += 9
    assert tier.get("b") == b"1"


def test_a_clock_that_leaps_ahead_ends_everything() -> None:
    clock = FakeClock()
    tier = MemoryTier(10_000, clock=clock)
    for key in "abc":
        tier.put(key, b"1", ttl_s=10)
    clock.now += 10**9
    assert [tier.get(key) for key in "abc"] == [None] * 3
    assert (len(tier), tier.held_bytes) == (0, 0)


def test_the_least_recently_used_goes_first() -> None:
    tier = MemoryTier(1000)
    for key in "abc":
        tier.put(key, b"x", ttl_s=10)
    assert tier.get("a") == b"x"
    tier.put("d", b"x", ttl_s=10)
    assert [tier.get(key) for key in "abcd"] == [b"x", None, b"x", b"x"]


def test_a_value_larger_than_the_tier_is_not_kept_and_drops_the_old_one() -> None:
    tier = MemoryTier(1000)
    assert tier.put("a", b"old", ttl_s=10)
    assert not tier.put("a", b"x" * 1000, ttl_s=10)
    assert tier.get("a") is None
    assert not MemoryTier(0).put("a", b"", ttl_s=10)


def test_one_release_is_forgotten_and_no_other() -> None:
    tier = MemoryTier(10_000)
    for release in ("r1", "r2", "r10"):
        tier.put(cache_key(release, {"query": "mug"}), release.encode(), ttl_s=10)
    tier.forget("vitrine:r1:")
    kept = [tier.get(cache_key(release, {"query": "mug"})) for release in ("r1", "r2", "r10")]
    assert kept == [None, b"r2", b"r10"]
    tier.discard("absent")
    tier.clear()
    assert (len(tier), tier.held_bytes) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 900)), max_size=40))
def test_it_never_holds_more_than_its_bound(puts: list[tuple[str, int]]) -> None:
    tier = MemoryTier(2000)
    for key, size in puts:
        tier.put(key, b"x" * size, ttl_s=10)
        assert tier.held_bytes <= 2000
        assert tier.get(key) == b"x" * size
    tier.clear()
    assert (len(tier), tier.held_bytes) == (0, 0)


def test_what_it_says_it_holds_is_what_python_spends() -> None:
    """The bound is one of real memory: small answers, where the overhead is most of it."""
    tier = MemoryTier(2**30)
    tracemalloc.start()
    try:
        for number in range(3000):
            tier.put(cache_key("20261120T101500Z-abcdef", {"n": number}), os.urandom(200), 60.0 + number)
        spent, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.7 * tier.held_bytes < spent < 1.02 * tier.held_bytes
