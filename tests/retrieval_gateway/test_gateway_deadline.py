"""The deadline of the request in work: set by the handler, read by whoever calls others."""

import asyncio
import time

import pytest

from retrieval_gateway import deadline


def test_without_one_nothing_is_bounded():
    assert deadline.current() is None
    assert deadline.remaining() is None
    assert deadline.at_most(7.0) == 7.0


def test_a_call_gets_what_is_left_where_that_is_less():
    with deadline.due(time.monotonic() + 5.0):
        assert deadline.remaining() == pytest.approx(5.0, abs=1.0)
        assert deadline.at_most(0.1) == 0.1
        assert deadline.at_most(60.0) == pytest.approx(5.0, abs=1.0)
    assert deadline.current() is None


def test_time_that_is_over_is_no_time():
    with deadline.due(time.monotonic() - 5.0):
        assert deadline.remaining() == 0.0
        assert deadline.at_most(3.0) == 0.0


def test_an_inner_one_ends_with_its_block():
    with deadline.due(1.0):
        with deadline.due(None):
            assert deadline.current() is None
        assert deadline.current() == 1.0


async def test_a_task_has_the_deadline_of_who_began_it():
    async def ask() -> float | None:
        return deadline.current()

    with deadline.due(3.0):
        task = asyncio.create_task(ask())
    assert await task == 3.0
