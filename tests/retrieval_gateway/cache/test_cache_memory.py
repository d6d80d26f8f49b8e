"""The tier in memory: bounded in bytes and age."""

from __future__ import annotations

from cache_doubles import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.cache import MemoryTier


def test_an_entry_lives_until_its_time_is_up() -> None:
    clock = FakeClock()
    tier = MemoryTier(10_000, clock=clock)
    tier.put("a", b"1", ttl_s=10)
    clock.now += 9.9
    assert tier.get("a") == b"1"
    clock.now += 0.1
    assert tier.get("a") is None
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
    tier.put("a", b"old", ttl_s=10)
    tier.put("a", b"x" * 1000, ttl_s=10)
    assert tier.get("a") is None
    nothing = MemoryTier(0)
    nothing.put("a", b"", ttl_s=10)
    assert len(nothing) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 900)), max_size=40))
def test_it_never_holds_more_than_its_bound(puts: list[tuple[str, int]]) -> None:
    tier = MemoryTier(2000)
    for key, size in puts:
        tier.put(key, b"x" * size, ttl_s=10)
        assert tier.held_bytes <= 2000
        assert tier.get(key) == b"x" * size
    tier.clear()
    assert (len(tier), tier.held_bytes) == (0, 0)
