"""The same searches against the numpy reference: every kind of index built, opened again, owned, on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
from index_builders import clustered, near
from index_scenarios import SCENARIOS, Scenario
from numpy.typing import NDArray

from evaluation import recall_at_k
from retrieval_gateway.index import (
    ExactIndex,
    FaissIndex,
    IndexSpec,
    VectorIndex,
    build_index,
    open_index,
    open_vectors,
    save_index,
    write_vectors,
)
from retrieval_gateway.index.devices import IndexDevice, offload
from retrieval_gateway.index.gpu_copies import Copy, why_no_gpu

COUNT, DIM = 12_000, 32
LEAST_RECALL = {"flat": 1.0, "ivf_sq8": 0.98}


def opened(folder: Path, vectors: NDArray[np.float32], spec: IndexSpec, device: IndexDevice) -> VectorIndex:
    save_index(folder / "index.faiss", build_index(vectors, spec))
    write_vectors(folder / "vectors.npy", vectors)
    return open_index(folder / "index.faiss", open_vectors(folder / "vectors.npy"), spec, device)


def owned(index: FaissIndex) -> VectorIndex:
    """The CPU's FAISS index in the place of a GPU's: an owner thread, no filter, never more lists."""
    plain = None if index.kind == "flat" else faiss.SearchParametersIVF(nprobe=index.spec.nprobe)

    def search(queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
        return index.faiss_index.search(queries, width, params=plain)[1]

    return offload(index, [Copy("plain", lambda: search, most_candidates=2048)])


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return clustered(COUNT, DIM, clusters=60)


WAYS = ("built", "reopened", "owned", pytest.param("gpu", marks=pytest.mark.gpu))


@pytest.fixture(scope="module", params=["flat", "ivf_sq8"])
def spec(request: pytest.FixtureRequest) -> IndexSpec:
    return IndexSpec("flat") if request.param == "flat" else IndexSpec.inverted(COUNT)


@pytest.fixture(scope="module", params=WAYS)
def index(
    request: pytest.FixtureRequest,
    vectors: NDArray[np.float32],
    spec: IndexSpec,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VectorIndex]:
    found: VectorIndex
    match request.param:
        case "built":
            found = build_index(vectors, spec)
        case "owned":
            found = owned(build_index(vectors, spec))
        case "gpu":
            if (reason := why_no_gpu()) is not None:
                pytest.skip(reason)
            found = opened(tmp_path_factory.mktemp("index"), vectors, spec, "gpu")
        case _:
            found = opened(tmp_path_factory.mktemp("index"), vectors, spec, "cpu")
    yield found
    found.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_answers_like_the_reference(
    index: VectorIndex, vectors: NDArray[np.float32], scenario: Scenario
) -> None:
    queries = near(vectors, scenario.batch)
    allowed = scenario.allowed(vectors) if scenario.allowed else None
    expected = ExactIndex(vectors).search(queries, scenario.k, allowed)
    found = index.search(queries, scenario.k, allowed)

    assert found.rows.shape == found.scores.shape == (scenario.batch, scenario.k)
    assert (found.rows.dtype, found.scores.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(found.rows >= 0, expected.rows >= 0)
    np.testing.assert_array_equal(found.scores == -np.inf, found.rows < 0)
    assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
    if allowed is not None:
        assert allowed[found.rows[found.rows >= 0]].all()
    there = expected.rows[0] >= 0 if scenario.batch else np.array([False])
    if there.any():
        truth = expected.rows[:, there], expected.scores[:, there]
        assert recall_at_k(found.rows, found.scores, *truth) >= LEAST_RECALL[index.kind]


def test_equal_vectors_stand_in_order_of_rows_in_any_batch(vectors: NDArray[np.float32]) -> None:
    copies = vectors[:600].copy()
    copies[100:400] = copies[100]
    for index in (ExactIndex(copies), build_index(copies), build_index(copies, IndexSpec("ivf_sq8", 8, 8))):
        alone = index.search(copies[100:101], 50)
        np.testing.assert_array_equal(alone.rows[0], np.arange(100, 150))
        assert len(set(alone.scores[0].tolist())) == 1
        batch = index.search(np.repeat(copies[100:101], 32, axis=0), 50)
        np.testing.assert_array_equal(batch.rows, np.repeat(alone.rows, 32, axis=0))
        np.testing.assert_array_equal(batch.scores, np.repeat(alone.scores, 32, axis=0))


def test_a_filter_on_rows_far_from_the_query_still_fills_the_answer(vectors: NDArray[np.float32]) -> None:
    # All allowed rows lie in lists that one probe never visits.
    spec = IndexSpec("ivf_sq8", 64, 1)
    query = vectors[:1]
    far = np.argsort(vectors @ query[0])[: COUNT // 20]
    allowed = np.zeros(COUNT, np.bool_)
    allowed[far] = True
    found = build_index(vectors, spec).search(query, 200, allowed)
    assert (found.rows >= 0).all()
    assert allowed[found.rows].all()
