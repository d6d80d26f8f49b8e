"""The owner's thread and queue: who waits for whom, and what happens when the search fails, hangs or dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

import faults
from retrieval_gateway.index.batch_owner import BatchOwner, SearchBatch

LONG_S = 30.0
"""Longer than any wait here takes; what ends earlier ends for another reason."""


class Gate:
    """A search that says when it was entered and returns when it is told; answers with the query's number."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], int]] = []
        self.threads: set[int] = set()
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)

    def __call__(self, queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
        self.threads.add(threading.get_ident())
        self.calls.append((queries[:, 0].astype(int).tolist(), width))
        self.entered.release()
        assert self.leave.acquire(timeout=LONG_S)
        return rows_of(queries, width)

    def open(self, times: int = 1000) -> None:
        self.leave.release(times)


def rows_of(queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
    return np.repeat(queries[:, :1].astype(np.int64), width, axis=1)


def query(*numbers: int) -> NDArray[np.float32]:
    return np.array([[number, 0] for number in numbers], np.float32)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


@pytest.fixture
def start() -> Iterator[Callable[..., BatchOwner]]:
    owners: list[BatchOwner] = []

    def make(search: SearchBatch, **options: float) -> BatchOwner:
        owners.append(BatchOwner(lambda: search, **{"patience_s": LONG_S, **options}))  # type: ignore[arg-type]
        return owners[-1]

    yield make
    for owner in owners:
        owner.stop()


def waiting(owner: BatchOwner) -> int:
    return len(owner._waiting)


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to that")


def test_searches_that_wait_leave_together_and_get_their_own_rows(
    start: Callable[..., BatchOwner], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    owner = start(gate)
    first = pool.submit(owner.search, query(0), 40)
    assert gate.entered.acquire(timeout=LONG_S)  # a lone search leaves at once
    others = [pool.submit(owner.search, query(n, n + 100), 33 + n) for n in range(1, 6)]
    until(lambda: waiting(owner) == 5)
    gate.open()
    assert first.result(LONG_S).tolist() == [[0] * 40]
    for n, other in enumerate(others, start=1):
        assert other.result(LONG_S).tolist() == [[n] * (33 + n), [n + 100] * (33 + n)]
    assert [len(numbers) for numbers, _ in gate.calls] == [1, 10]
    assert {width for _, width in gate.calls} == {64}
    assert gate.threads.isdisjoint({threading.get_ident()})
    assert len(gate.threads) == 1


def test_only_like_widths_are_joined_and_none_overtakes_for_ever(
    start: Callable[..., BatchOwner], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    owner = start(gate)
    found = [pool.submit(owner.search, query(0), 10)]
    assert gate.entered.acquire(timeout=LONG_S)
    for number, wanted in enumerate((10, 100, 30, 128, 32), start=1):
        found.append(pool.submit(owner.search, query(number), wanted))
        until(lambda number=number: waiting(owner) == number)
    gate.open()
    assert [f.result(LONG_S)[0, 0] for f in found] == [0, 1, 2, 3, 4, 5]
    assert gate.calls == [([0], 32), ([1, 3, 5], 32), ([2, 4], 128)]


def test_a_batch_is_bounded(start: Callable[..., BatchOwner], pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    owner = start(gate, most_rows=3)
    found = [pool.submit(owner.search, query(0, 1, 2, 3, 4), 1)]  # one search is never cut
    assert gate.entered.acquire(timeout=LONG_S)
    for number in range(1, 5):
        found.append(pool.submit(owner.search, query(number), 1))
        until(lambda number=number: waiting(owner) == number)
    gate.open()
    for each in found:
        each.result(LONG_S)
    assert [len(numbers) for numbers, _ in gate.calls] == [5, 3, 1]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_reaches_all_who_wait_for_it_and_then_the_owner_rests(
    start: Callable[..., BatchOwner],
) -> None:
    broken, clock, calls = True, Clock(), 0

    def search(queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
        nonlocal calls
        calls += 1
        if broken:
            raise RuntimeError("out of memory")
        return rows_of(queries, width)

    owner = start(search, rest_s=2.0, clock=clock)
    with pytest.raises(faults.Unavailable, match="out of memory") as caught:
        owner.search(query(1), 1)
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(faults.Unavailable, match="rests") as caught:
        owner.search(query(1), 1)
    assert (calls, caught.value.retry_after_s) == (1, 2.0)

    clock.now += 2
    with pytest.raises(faults.Unavailable, match="out of memory"):
        owner.search(query(1), 1)
    clock.now += 3
    with pytest.raises(faults.Unavailable, match="rests") as caught:  # twice as long the second time
        owner.search(query(1), 1)
    assert (calls, caught.value.retry_after_s) == (2, 1.0)

    clock.now += 1
    broken = False
    assert owner.search(query(7), 1).tolist() == [[7]]
    broken = True
    with pytest.raises(faults.Unavailable, match="out of memory"):
        owner.search(query(1), 1)
    clock.now += 2  # a success made the rest short again
    broken = False
    assert owner.search(query(8), 1).tolist() == [[8]]


def test_a_search_that_hangs_is_given_up_and_nobody_queues_behind_it(
    start: Callable[..., BatchOwner],
) -> None:
    gate, clock = Gate(), Clock()
    owner = start(gate, patience_s=0.2, clock=clock)
    with pytest.raises(faults.Unavailable, match=r"did not answer within 0\.2 s"):
        owner.search(query(1), 1)
    with pytest.raises(faults.Unavailable, match="did not answer"):
        owner.search(query(2), 1)  # waits behind the first, is given up, and never searched
    clock.now += 0.3
    with pytest.raises(faults.Unavailable, match="has not answered for"):
        owner.search(query(3), 1)
    gate.open()
    until(lambda: owner._busy_since is None)
    assert owner.search(query(4), 1).tolist() == [[4]]
    assert [numbers for numbers, _ in gate.calls] == [[1], [4]]


def test_a_thread_that_dies_takes_nobody_along(
    start: Callable[..., BatchOwner], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()

    def search(queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
        gate(queries, width)
        raise SystemExit

    owner = start(search)
    first: Future[NDArray[np.int64]] = pool.submit(owner.search, query(1), 1)
    assert gate.entered.acquire(timeout=LONG_S)
    second = pool.submit(owner.search, query(2), 1)
    until(lambda: waiting(owner) == 1)
    gate.open()
    with pytest.raises(faults.Unavailable, match="its thread ended"):
        first.result(LONG_S)
    with pytest.raises(faults.Unavailable, match="was closed"):
        second.result(LONG_S)
    with pytest.raises(faults.Unavailable, match="is closed"):
        owner.search(query(3), 1)


@pytest.mark.parametrize("rows", [np.zeros((1, 5), np.int64), np.zeros((2, 32), np.int64)])
def test_rows_of_a_wrong_shape_are_a_failure(
    start: Callable[..., BatchOwner], rows: NDArray[np.int64]
) -> None:
    owner = start(lambda _queries, _width: rows)
    with pytest.raises(faults.Unavailable, match="wrong shape"):
        owner.search(query(1), 1)


def test_closing_fails_those_who_wait_joins_the_thread_and_lets_go_of_the_index(
    pool: ThreadPoolExecutor,
) -> None:
    released = threading.Event()

    class Held(Gate):
        def __del__(self) -> None:
            assert threading.current_thread().name == "index-owner"
            released.set()

    entered = threading.Event()
    leave = threading.Event()

    def open_search() -> SearchBatch:
        held = Held()
        held.open()

        def search(queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
            entered.set()
            assert leave.wait(LONG_S)
            return held(queries, width)

        return search

    owner = BatchOwner(open_search, patience_s=LONG_S)
    first = pool.submit(owner.search, query(1), 1)
    assert entered.wait(LONG_S)
    second = pool.submit(owner.search, query(2), 1)
    until(lambda: waiting(owner) == 1)
    closing = pool.submit(owner.close)
    leave.set()
    assert closing.result(LONG_S)
    assert first.result(LONG_S).tolist() == [[1]]  # what was under way is answered
    with pytest.raises(faults.Unavailable, match="was closed"):
        second.result(LONG_S)
    assert released.wait(LONG_S)
    with pytest.raises(faults.Unavailable, match="is closed"):
        owner.search(query(3), 1)
    assert owner.close()


def test_closing_does_not_wait_for_a_search_that_hangs(start: Callable[..., BatchOwner]) -> None:
    gate = Gate()
    owner = start(gate, patience_s=0.1)
    with pytest.raises(faults.Unavailable, match="did not answer"):
        owner.search(query(1), 1)
    assert not owner.close()
    gate.open()
    until(owner.close)


def test_what_cannot_be_opened_says_why() -> None:
    def open_search() -> SearchBatch:
        raise RuntimeError("no such GPU")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="no such GPU"):
        BatchOwner(open_search)
    assert set(threading.enumerate()) <= before
