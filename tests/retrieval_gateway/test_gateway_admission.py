"""Admission: a bound on the work at once, and an end of it."""

import asyncio

import pytest

from faults import Overloaded, Unavailable
from retrieval_gateway.admission import Admission
from retrieval_gateway.metrics import Metrics


def test_places_are_given_back_whatever_happens():
    admission = Admission(1, Metrics())
    for _ in range(3):
        with pytest.raises(KeyError), admission.admit():
            raise KeyError
    with admission.admit():
        pass


def test_one_more_than_the_limit_is_refused_and_told_when_to_return():
    metrics = Metrics()
    admission = Admission(2, metrics)
    with admission.admit(), admission.admit():
        with pytest.raises(
            Overloaded, match="VITRINE_MAX_CONCURRENT_REQUESTS: 2 requests are in work"
        ) as refused:
            admission.admit().__enter__()
        assert refused.value.retry_after_s > 0
        assert metrics.registry.get_sample_value("vitrine_requests_in_flight") == 2
    assert metrics.registry.get_sample_value("vitrine_requests_in_flight") == 0


async def test_draining_refuses_the_new_and_lets_the_old_finish():
    metrics = Metrics()
    admission = Admission(5, metrics)
    with admission.admit():
        admission.drain()
        with pytest.raises(Unavailable, match="shutting down"):
            admission.admit().__enter__()
        idle = asyncio.create_task(admission.idle())
        await asyncio.sleep(0.1)
        assert not idle.done()
    await asyncio.wait_for(idle, 5)
    assert metrics.registry.get_sample_value("vitrine_requests_in_flight") == 0
