"""A copy that may fail before a CPU index that may not: who answers, and that the answer says so."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from index_builders import clustered, near
from numpy.typing import NDArray

import faults
from retrieval_gateway.index import FaissIndex, IndexSpec, Neighbours, VectorIndex, build_index
from retrieval_gateway.index.batch_owner import BatchOwner, SearchBatch
from retrieval_gateway.index.devices import offload
from retrieval_gateway.index.gpu_copies import Copy
from retrieval_gateway.index.offloaded_index import OffloadedIndex

VECTORS = clustered(3_000, 16, clusters=30)
CPU = build_index(VECTORS, IndexSpec("ivf_sq8", 60, 12))
QUERIES = near(VECTORS, 6)


def plain(nprobe: int) -> SearchBatch:
    """What stands for the GPU's index: FAISS itself, the same lists at every depth."""
    parameters = faiss.SearchParametersIVF(nprobe=nprobe)
    return lambda queries, width: CPU.faiss_index.search(queries, width, params=parameters)[1]


class Switched:
    """A search of the copy that can be told to go wrong."""

    def __init__(self) -> None:
        self.wrong: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None
        self.calls = 0

    def __call__(self, queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
        self.calls += 1
        rows = plain(12)(queries, width)
        return rows if self.wrong is None else self.wrong(rows)


@pytest.fixture
def copy() -> Switched:
    return Switched()


@pytest.fixture
def index(copy: Switched) -> Iterator[OffloadedIndex]:
    offloaded = OffloadedIndex(CPU, BatchOwner(lambda: copy, patience_s=0.3, rest_s=0.0), 256)
    yield offloaded
    offloaded.close()


def same(found: Neighbours, expected: Neighbours) -> bool:
    return bool((found.rows == expected.rows).all() and (found.scores == expected.scores).all())


def raising(_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    raise RuntimeError("CUDA error 700")


def hanging(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    threading.Event().wait(1.0)
    return rows


def dying(_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    raise SystemExit


def beyond(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows + len(VECTORS)


def too_few(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(np.arange(rows.shape[1]) < 5, rows, -1)


def test_the_copy_answers_with_true_scores(index: OffloadedIndex, copy: Switched) -> None:
    found = index.search(QUERIES, 20)
    assert copy.calls == 1
    assert not found.on_cpu
    assert same(found, CPU.search(QUERIES, 20))


@pytest.mark.parametrize("wrong", [raising, hanging, dying, beyond, too_few])
def test_the_cpu_answers_when_the_copy_goes_wrong(
    index: OffloadedIndex, copy: Switched, wrong: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> None:
    copy.wrong = wrong
    found = index.search(QUERIES, 20)
    assert found.on_cpu
    assert same(found, CPU.search(QUERIES, 20))


def test_the_copy_answers_again_when_it_has_recovered(index: OffloadedIndex, copy: Switched) -> None:
    copy.wrong = raising
    assert index.search(QUERIES, 20).on_cpu
    copy.wrong = None
    assert not index.search(QUERIES, 20).on_cpu


def test_a_filter_or_more_than_the_copy_can_find_is_the_cpus(index: OffloadedIndex, copy: Switched) -> None:
    allowed = np.arange(len(VECTORS)) % 3 == 0
    filtered = index.search(QUERIES, 20, allowed)
    assert filtered.on_cpu
    assert same(filtered, CPU.search(QUERIES, 20, allowed))
    deep = index.search(QUERIES, 250)
    assert deep.on_cpu
    assert same(deep, CPU.search(QUERIES, 250))
    assert copy.calls == 0


def test_what_no_index_can_answer_is_refused_and_no_query_is_no_work(
    index: OffloadedIndex, copy: Switched
) -> None:
    with pytest.raises(faults.InvalidInput, match="k:"):
        index.search(QUERIES, 0)
    with pytest.raises(faults.InternalError, match="NaN"):
        index.search(np.full((1, 16), np.nan, np.float32), 1)
    assert index.search(QUERIES[:0], 5).rows.shape == (0, 5)
    assert copy.calls == 0


def test_after_closing_the_cpu_answers(index: OffloadedIndex) -> None:
    index.close()
    found = index.search(QUERIES, 20)
    assert found.on_cpu
    assert same(found, CPU.search(QUERIES, 20))


def test_an_index_that_nobody_holds_ends_its_thread() -> None:
    owner = BatchOwner(lambda: plain(12))
    index = OffloadedIndex(CPU, owner, 256)
    del index
    gc.collect()
    owner._thread.join(10)
    assert not owner._thread.is_alive()


def test_searches_from_many_threads_get_what_each_asked_for(index: OffloadedIndex) -> None:
    widths = [1, 7, 20, 60]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: index.search(QUERIES[n % 6 : n % 6 + 1], widths[n % 4]), range(64)))
    for n, neighbours in enumerate(found):
        assert same(neighbours, CPU.search(QUERIES[n % 6 : n % 6 + 1], widths[n % 4]))


def opened(index: VectorIndex, k: int) -> bool:
    """Whether the copy is asked for k."""
    return not index.search(QUERIES, k).on_cpu


def test_a_copy_is_asked_as_deep_as_it_agrees_with_the_cpu() -> None:
    index = offload(CPU, [Copy("few lists", lambda: plain(12), 2048)])
    assert opened(index, 100)
    assert not opened(index, 1000)  # a third of the vectors is not in a fifth of the lists
    index.close()
    index = offload(CPU, [Copy("all lists", lambda: plain(60), 2048)])
    assert opened(index, 1000)
    index.close()


def test_the_first_copy_that_opens_and_agrees_is_taken() -> None:
    def broken() -> SearchBatch:
        raise RuntimeError("Error in somewhere: Error: 'device < devices' failed: no such device")

    copies = [
        Copy("broken", broken, 2048),
        Copy("poor", lambda: plain(1), 2048),
        Copy("wild", lambda: lambda queries, width: np.full((len(queries), width), 10**9), 2048),
        Copy("good", lambda: plain(60), 2048),
    ]
    before = set(threading.enumerate())
    index = offload(CPU, copies)
    assert opened(index, 20)
    index.close()
    with pytest.raises(faults.Unavailable) as caught:
        offload(CPU, copies[:3])
    for said in (
        "broken: RuntimeError: 'device < devices' failed: no such device",
        "poor: GateFailed",
        "wild",
    ):
        assert said in str(caught.value)
    assert set(threading.enumerate()) <= before


def test_a_small_index_is_no_special_case() -> None:
    few = build_index(VECTORS[:40])
    copy = Copy("flat", lambda: lambda queries, width: few.faiss_index.search(queries, width)[1], 2048)
    index = offload(few, [copy])
    found = index.search(QUERIES, 60)
    assert not found.on_cpu
    assert same(found, few.search(QUERIES, 60))
    assert isinstance(few, FaissIndex)
    index.close()
