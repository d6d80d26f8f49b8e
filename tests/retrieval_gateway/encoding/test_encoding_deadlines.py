"""Deadlines on the way to a tower: passed on, kept, and no work for callers who are gone."""

import asyncio
import time

import pytest
from support.fake_triton import FakeClient, FakeTriton
from support.small_releases import MAX_PRODUCT_TOKENS, MAX_QUERY_TOKENS, PICTURE_SIZE
from tritonclient.utils import InferenceServerException

from catalog.tokenizer import train_tokenizer
from faults import DeadlineExceeded, Unavailable
from retrieval_gateway import deadline
from retrieval_gateway.encoding.encoder import Encoder, EncoderSpec, TritonLink
from retrieval_gateway.encoding.gatherer import Gatherer

SPEC = EncoderSpec(1, 1, MAX_QUERY_TOKENS, MAX_PRODUCT_TOKENS, PICTURE_SIZE, views=1)
TOKENIZER = train_tokenizer(["red blue mug shoe lamp"], 300)


class Tower:
    """Holds its calls until it is let go; remembers rows and deadline of each, and which were dropped."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], float | None]] = []
        self.dropped: list[list[int]] = []
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        self._gate.set()

    async def __call__(self, rows):
        self.calls.append((list(rows), deadline.current()))
        try:
            await self._gate.wait()
        except asyncio.CancelledError:
            self.dropped.append(list(rows))
            raise
        return [row * 10 for row in rows]


@pytest.fixture
def tower():
    return Tower()


@pytest.fixture
def gatherer(tower):
    """One call in flight, up to four rows."""
    return Gatherer(tower, rows=4, calls=1, order=lambda row: row)


def submitted(gatherer, row: int, due: float | None = None) -> asyncio.Task:
    with deadline.due(due):
        return asyncio.create_task(gatherer.submit(row))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_call_has_the_deadline_of_the_row_with_most_time(tower, gatherer):
    soon, later = time.monotonic() + 50, time.monotonic() + 90
    tasks = [submitted(gatherer, 1, soon)]
    await settle()
    tasks += [submitted(gatherer, 2, soon), submitted(gatherer, 3, later)]
    tower.let_go()
    assert await asyncio.gather(*tasks) == [10, 20, 30]
    assert tower.calls == [([1], soon), ([2, 3], later)]


async def test_one_row_without_a_deadline_frees_the_call_of_any(tower, gatherer):
    tasks = [submitted(gatherer, 1, time.monotonic() + 50)]
    await settle()
    tasks += [submitted(gatherer, 2, time.monotonic() + 50), submitted(gatherer, 3)]
    tower.let_go()
    await asyncio.gather(*tasks)
    assert tower.calls[1] == ([2, 3], None)


async def test_a_row_whose_time_is_over_does_not_leave(tower, gatherer):
    first = submitted(gatherer, 1)
    await settle()
    late, good = submitted(gatherer, 2, time.monotonic() - 1), submitted(gatherer, 3)
    await settle()
    tower.let_go()
    assert await asyncio.gather(first, good) == [10, 30]
    with pytest.raises(DeadlineExceeded, match="its time was up"):
        await late
    assert [rows for rows, _ in tower.calls] == [[1], [3]]


async def test_a_call_that_nobody_waits_for_is_dropped_and_makes_room(tower, gatherer):
    first = submitted(gatherer, 1)
    await settle()
    pair = [submitted(gatherer, 2), submitted(gatherer, 3)]
    await settle()
    first.cancel()
    await settle()
    assert tower.dropped == [[1]]
    assert [rows for rows, _ in tower.calls] == [[1], [2, 3]]
    pair[0].cancel()
    await settle()
    assert tower.dropped == [[1]], "somebody still waits for the other row"
    tower.let_go()
    assert await pair[1] == 30


class Timed(FakeClient):
    """Remembers the time limit of each call, and ends every call with it where Triton is late."""

    def __init__(self, server: FakeTriton) -> None:
        super().__init__(server)
        self.limits: list[float] = []
        self.late = False

    async def infer(self, model, inputs, *, model_version, client_timeout, **more):
        self.limits.append(client_timeout)
        if self.late:
            await asyncio.sleep(client_timeout)
            raise InferenceServerException("Deadline Exceeded", "StatusCode.DEADLINE_EXCEEDED")
        return await super().infer(model, inputs, model_version=model_version, **more)


class Bench:
    def __init__(self, timeout_s: float) -> None:
        triton = FakeTriton(v1=(1, 8))
        triton.load_everything()
        self.client = Timed(triton)
        self.suspicions = 0
        link = TritonLink(self.client, "fake:8001", timeout_s=timeout_s, on_failure=self.suspect)
        self.encoder = Encoder(link, SPEC, TOKENIZER)

    def suspect(self) -> None:
        self.suspicions += 1

    async def words(self, text: str = "red mug"):
        return await self.encoder.encode_words(self.encoder.tokenise(text))


async def test_triton_is_given_what_is_left_and_never_more_than_its_own_limit():
    bench = Bench(timeout_s=2.0)
    await bench.words()
    with deadline.due(time.monotonic() + 0.5):
        await bench.words()
    with deadline.due(time.monotonic() + 60):
        await bench.words()
    assert bench.client.limits[0] == bench.client.limits[2] == 2.0
    assert 0 < bench.client.limits[1] <= 0.5


async def test_a_caller_in_a_hurry_is_told_so_and_triton_is_not_suspected():
    bench = Bench(timeout_s=60.0)
    bench.client.late = True
    with deadline.due(time.monotonic() + 0.05), pytest.raises(DeadlineExceeded):
        await bench.words()
    assert bench.suspicions == 0


async def test_a_triton_that_takes_all_the_time_there_is_is_suspected_and_named():
    bench = Bench(timeout_s=0.05)
    bench.client.late = True
    with deadline.due(time.monotonic() + 60), pytest.raises(Unavailable, match="did not answer in time"):
        await bench.words()
    assert bench.suspicions == 1
