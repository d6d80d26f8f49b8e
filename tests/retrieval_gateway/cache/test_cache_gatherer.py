"""What is asked in one turn travels together; nobody spoils it for the others."""

from __future__ import annotations

import asyncio

import pytest
from cache_doubles import settle

from retrieval_gateway.cache.turn_gatherer import TurnGatherer


class Server:
    """Answers every item with its tenfold, when it is let."""

    def __init__(self, most: int = 100) -> None:
        self.calls: list[list[int]] = []
        self.let = asyncio.Event()
        self.let.set()
        self.error: Exception | None = None
        self.gatherer = TurnGatherer(self.call, most=most)

    async def call(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return [10 * item for item in items]

    def ask(self, *items: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.gatherer.submit(item)) for item in items]


async def test_items_of_one_turn_travel_together_and_each_gets_its_own_answer() -> None:
    server = Server()
    assert await asyncio.gather(*server.ask(3, 1, 2, 1)) == [30, 10, 20, 10]
    assert server.calls == [[3, 1, 2, 1]]


async def test_a_lone_item_waits_for_nobody() -> None:
    server = Server()
    server.let.clear()
    first = server.ask(1)
    await settle()
    second = server.ask(2)
    await settle()
    assert server.calls == [[1], [2]], "the second does not wait for the first to come back"
    server.let.set()
    assert await asyncio.gather(*first, *second) == [10, 20]


async def test_more_than_the_most_are_several_calls() -> None:
    server = Server(most=2)
    assert await asyncio.gather(*server.ask(1, 2, 3, 4, 5)) == [10, 20, 30, 40, 50]
    assert server.calls == [[1, 2], [3, 4], [5]]


async def test_who_leaves_before_the_call_is_not_sent_and_who_leaves_during_it_spoils_nothing() -> None:
    server = Server()
    server.let.clear()
    early, late, patient = server.ask(1, 2, 3)
    await asyncio.sleep(0)  # they have asked, and nothing has left
    early.cancel()
    await settle()
    assert server.calls == [[2, 3]]
    late.cancel()
    await settle()
    server.let.set()
    assert await patient == 30
    assert early.cancelled()
    assert late.cancelled()


async def test_when_all_left_in_time_there_is_no_call() -> None:
    server = Server()
    tasks = server.ask(1, 2)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await settle()
    assert server.calls == []


async def test_a_bug_reaches_everyone_and_the_next_turn_is_unharmed() -> None:
    server = Server()
    server.error = ValueError("bug")
    outcomes = await asyncio.gather(*server.ask(1, 2), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["bug", "bug"]
    server.error = None
    assert await asyncio.gather(*server.ask(3)) == [30]


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_closing_waits_for_those_under_way(turns: int) -> None:
    server = Server()
    server.let.clear()
    tasks = server.ask(1, 2)
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    closing = asyncio.create_task(server.gatherer.close())
    await settle()
    assert not closing.done()
    server.let.set()
    await closing
    assert await asyncio.gather(*tasks) == [10, 20]


async def test_a_call_that_the_loop_stops_leaves_nobody_waiting() -> None:
    server = Server()
    server.let.clear()
    tasks = server.ask(1, 2)
    await settle()
    (call,) = server.gatherer._calls
    call.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
