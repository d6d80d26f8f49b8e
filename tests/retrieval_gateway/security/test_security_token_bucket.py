"""A rate: so many on average, a burst after a rest, and an exact time to come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.security.token_bucket import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate():
    clock = Clock()
    bucket = TokenBucket(4.0, 3.0, clock)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.25]
    clock.now += 0.25
    assert [bucket.take(), bucket.take()] == [0.0, 0.25]
    clock.now += 1000.0
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.25], "a rest saves no more than a burst"


def test_who_waits_as_told_is_let_through():
    clock = Clock()
    bucket = TokenBucket(3.0, 1.0, clock)
    assert bucket.take() == 0.0
    clock.now += bucket.take() + 1e-9
    assert bucket.take() == 0.0


def test_being_refused_costs_nothing():
    clock = Clock()
    bucket = TokenBucket(1.0, 1.0, clock)
    bucket.take()
    for _ in range(100):
        assert bucket.take() == pytest.approx(1.0)


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(0.5, 50), st.floats(1, 20))
def test_never_more_than_burst_and_rate_allow(pauses, rate, burst):
    clock = Clock()
    bucket = TokenBucket(rate, burst, clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += not bucket.take()
    assert taken <= burst + rate * (clock.now - 100.0) + 1e-6
