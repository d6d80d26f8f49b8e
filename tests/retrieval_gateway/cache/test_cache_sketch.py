"""The sketch: never too low since the last halving, seldom too high, and always of one size."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faults
from retrieval_gateway.cache.frequency_sketch import FrequencySketch


@given(st.lists(st.sampled_from("abcdefghijklmnop"), max_size=100))
def test_an_estimate_is_never_below_the_truth(requests: list[str]) -> None:
    sketch = FrequencySketch(16)
    seen = [sketch.add(request) for request in requests]
    truth = Counter(requests)
    assert all(sketch.estimate(request) >= count for request, count in truth.items())
    assert all(1 <= count <= len(requests) for count in seen)


def test_among_many_others_an_estimate_is_near_the_truth() -> None:
    sketch = FrequencySketch(4096)
    for number in range(4000):
        sketch.add(f"once {number}")
        sketch.add("often" if number % 40 == 0 else f"twice {number % 1000}")
    wrong = sum(sketch.estimate(f"once {number}") > 1 for number in range(4000))
    assert 100 <= sketch.estimate("often") <= 103
    assert wrong < 800  # 8,000 sights in 4 x 4,096 counters
    assert sketch.estimate("never") <= 3


def test_it_counts_to_255_and_halving_forgets() -> None:
    sketch = FrequencySketch(1024)
    assert [sketch.add("a") for _ in range(300)][-60:] == [*range(241, 256), *[255] * 45]
    sketch.add("b")
    sketch.halve()
    assert (sketch.estimate("a"), sketch.estimate("b")) == (127, 0)


def test_halving_is_due_after_eight_sights_a_counter_and_memory_never_grows() -> None:
    sketch = FrequencySketch(64)
    held = sketch.held_bytes
    for number in range(8 * 64):
        assert not sketch.due
        sketch.add(str(number))
    assert sketch.due
    sketch.halve()
    assert not sketch.due
    assert sketch.held_bytes == held == 4 * 64


@pytest.mark.parametrize("width", [0, -4, 3, 1 << 17])
def test_a_width_that_is_no_power_of_two_is_our_bug(width: int) -> None:
    with pytest.raises(faults.InternalError, match="width"):
        FrequencySketch(width)
