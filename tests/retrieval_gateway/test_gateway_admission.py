"""Admission: a bound on who is inside and on what is computed, and an end of it."""

import asyncio
import time

import pytest

from faults import Overloaded, Unavailable
from retrieval_gateway import deadline
from retrieval_gateway.admission import Admission
from retrieval_gateway.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_places_are_given_back_whatever_happens():
    admission = Admission(1, Metrics())
    for _ in range(9):
        with pytest.raises(KeyError), admission.enter(), admission.compute():
            raise KeyError
    with admission.enter(), admission.compute():
        pass


def test_one_more_computation_than_the_limit_is_refused_and_told_when_to_return():
    admission = Admission(2, Metrics())
    with admission.compute(), admission.compute():
        with pytest.raises(Overloaded, match="2 searches are being computed") as refused:
            admission.compute().__enter__()
        assert refused.value.retry_after_s > 0
    with admission.compute():
        pass


def test_whoever_needs_no_computation_is_let_in_beyond_it_and_that_is_bounded_too():
    metrics = Metrics()
    admission = Admission(1, metrics)
    doors = [admission.enter() for _ in range(4)]
    with doors[0], doors[1], doors[2], doors[3]:
        assert metrics.registry.get_sample_value("vitrine_requests_in_flight") == 4
        with pytest.raises(Overloaded, match="4 requests are inside") as refused:
            admission.enter().__enter__()
        assert refused.value.retry_after_s > 0
    assert metrics.registry.get_sample_value("vitrine_requests_in_flight") == 0


async def test_draining_refuses_the_new_and_lets_the_old_finish():
    metrics = Metrics()
    admission = Admission(5, metrics)
    with admission.enter():
        admission.drain()
        with pytest.raises(Unavailable, match="shutting down"):
            admission.enter().__enter__()
        idle = asyncio.create_task(admission.idle())
        await asyncio.sleep(0.1)
        assert not idle.done()
    await asyncio.wait_for(idle, 5)
    assert metrics.registry.get_sample_value("vitrine_requests_in_flight") == 0


def computed(
    admission: Admission, clock: Clock, seconds: float, error: type[Exception] | None = None
) -> None:
    """One computation of so many seconds, of a caller who has two."""
    with deadline.due(clock.now + 2.0), admission.compute():
        clock.now += seconds
        if error is not None:
            raise error


def test_the_limit_falls_where_answers_come_too_late():
    clock = Clock()
    admission = Admission(256, Metrics(), clock)
    before = admission.limit
    for _ in range(8):
        computed(admission, clock, 1.9)
    assert admission.limit < before


@pytest.mark.parametrize("error", [TimeoutError, asyncio.CancelledError])
def test_what_was_not_in_time_counts_as_late(error):
    clock = Clock()
    admission = Admission(256, Metrics(), clock)
    before = admission.limit
    for _ in range(8):
        with pytest.raises(error):
            computed(admission, clock, 2.0, error)
    assert admission.limit < before


def test_what_failed_or_left_early_says_nothing():
    clock = Clock()
    admission = Admission(256, Metrics(), clock)
    before = admission.limit
    for _ in range(100):
        with pytest.raises(asyncio.CancelledError):
            computed(admission, clock, 1.9, asyncio.CancelledError)
    assert admission.limit == before


def test_its_clock_is_the_one_of_deadlines_unless_told():
    admission = Admission(256, Metrics())
    before = admission.limit
    for _ in range(3):
        for _ in range(8):
            with deadline.due(time.monotonic() + 0.02), admission.compute():
                time.sleep(0.02)
    assert admission.limit < before
