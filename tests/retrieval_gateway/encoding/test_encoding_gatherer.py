"""The gatherer: nobody waits alone, nobody is forgotten, one bad row harms nobody else."""

import asyncio

import pytest

from faults import InvalidInput, Unavailable
from retrieval_gateway.encoding.gatherer import Gatherer


class Tower:
    """Answers a call when it is let go; remembers the calls."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        self._gate.set()

    def hold(self) -> None:
        self._gate = asyncio.Event()

    async def __call__(self, rows):
        self.calls.append(list(rows))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await self._gate.wait()
            return self.answer(rows)
        finally:
            self._at_once -= 1

    def answer(self, rows):
        return [row * 10 for row in rows]


def gatherer_of(tower, rows=8, calls=2, order=lambda row: row, **more) -> Gatherer[int, int]:
    return Gatherer(tower, rows=rows, calls=calls, order=order, **more)


def submitted(gatherer, *rows) -> list[asyncio.Task]:
    return [asyncio.create_task(gatherer.submit(row)) for row in rows]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lone_row_leaves_at_once():
    tower = Tower()
    tower.let_go()
    assert await gatherer_of(tower).submit(3) == 30
    assert tower.calls == [[3]]


async def test_rows_gather_while_the_calls_are_taken_and_leave_sorted():
    tower, sizes = Tower(), []
    gatherer = gatherer_of(tower, rows=4, on_call=sizes.append)
    tasks = submitted(gatherer, 9, 8, 7, 1, 6, 2, 5, 3)
    await settle()
    assert tower.calls == [[9], [8]], "two calls may be in flight, the rest waits"
    tower.let_go()
    assert await asyncio.gather(*tasks) == [90, 80, 70, 10, 60, 20, 50, 30]
    assert tower.calls[2:] == [[1, 2, 6, 7], [3, 5]]
    assert tower.most_at_once == 2
    assert sizes == [1, 1, 4, 2]


async def test_rows_that_nobody_waits_for_any_more_do_not_leave():
    tower = Tower()
    gatherer = gatherer_of(tower, calls=1)
    first, *waiting = submitted(gatherer, 1, 2, 3, 4)
    await settle()
    waiting[1].cancel()
    await settle()
    tower.let_go()
    assert await first == 10
    assert await waiting[0] == 20
    assert await waiting[2] == 40
    assert tower.calls == [[1], [2, 4]]


async def test_a_call_that_nobody_waits_for_is_not_made_and_blocks_nothing():
    tower = Tower()
    gatherer = gatherer_of(tower, calls=1)
    first, *waiting = submitted(gatherer, 1, 2, 3)
    await settle()
    for task in waiting:
        task.cancel()
    await settle()
    tower.let_go()
    await first
    await settle()
    assert tower.calls == [[1]]
    assert await gatherer.submit(5) == 50


async def test_a_caller_who_leaves_during_the_call_takes_nothing_from_the_others():
    tower = Tower()
    gatherer = gatherer_of(tower, calls=1)
    first, second, third = submitted(gatherer, 1, 2, 3)
    await settle()
    tower.let_go()
    await first
    tower.hold()
    await settle()
    second.cancel()
    await settle()
    tower.let_go()
    assert await asyncio.wait_for(third, 5) == 30


class Picky(Tower):
    """Refuses a call with a negative row."""

    def answer(self, rows):
        if min(rows) < 0:
            raise InvalidInput("negative", field="row", value=min(rows))
        return super().answer(rows)


async def test_one_bad_row_fails_alone():
    tower = Picky()
    gatherer = gatherer_of(tower, calls=1)
    tasks = submitted(gatherer, 1, 4, -2, 3, -5)
    await settle()
    tower.let_go()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [results[0], results[1], results[3]] == [10, 40, 30]
    assert [error.value for error in (results[2], results[4])] == [-2, -5]
    assert tower.most_at_once == 1


@pytest.mark.parametrize("error", [Unavailable("gone"), RuntimeError("a bug")])
async def test_an_error_reaches_everybody_and_the_next_call_is_made(error):
    class Failing(Tower):
        def answer(self, rows):
            if len(self.calls) < 3:
                raise error
            return super().answer(rows)

    tower = Failing()
    gatherer = gatherer_of(tower, calls=1)
    tasks = submitted(gatherer, 1, 2, 3)
    await settle()
    tower.let_go()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert results == [error] * 3
    assert await asyncio.wait_for(gatherer.submit(4), 5) == 40


@pytest.mark.parametrize("answers", [[], [10], [10, 20, 30, 40]])
async def test_a_tower_that_returns_another_number_of_rows_hangs_nobody(answers):
    class Wrong(Tower):
        def answer(self, rows):
            return answers if len(rows) == 3 else super().answer(rows)

    tower = Wrong()
    gatherer = gatherer_of(tower, calls=1)
    first, *others = submitted(gatherer, 1, 2, 3, 4)
    await settle()
    tower.let_go()
    assert await first == 10
    results = await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
    assert all(isinstance(result, ValueError) for result in results)


async def test_close_waits_for_what_is_in_flight():
    tower = Tower()
    gatherer = gatherer_of(tower, calls=1)
    tasks = submitted(gatherer, 1, 2)
    await settle()
    closing = asyncio.create_task(gatherer.close())
    await settle()
    assert not closing.done()
    tower.let_go()
    await asyncio.wait_for(closing, 5)
    assert await asyncio.gather(*tasks) == [10, 20]


async def test_a_thousand_rows_go_in_full_calls():
    tower = Tower()
    gatherer = gatherer_of(tower, rows=32, calls=2)
    tasks = submitted(gatherer, *range(1000))
    await settle()
    tower.let_go()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 30) == [row * 10 for row in range(1000)]
    assert len(tower.calls) == 2 + 32, "1 + 1 + 998 rows in calls of at most 32"
    assert tower.most_at_once == 2
