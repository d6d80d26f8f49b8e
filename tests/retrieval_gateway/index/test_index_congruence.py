"""The same searches against the numpy reference, flat and inverted lists, saved and opened again."""

from __future__ import annotations

from pathlib import Path

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
    load_index,
    open_vectors,
    save_index,
    write_vectors,
)

COUNT, DIM = 12_000, 32
LEAST_RECALL = {"exact": 1.0, "flat": 1.0, "ivf_sq8": 0.98}


def reopened(folder: Path, index: FaissIndex, vectors: NDArray[np.float32]) -> FaissIndex:
    save_index(folder / "index.faiss", index)
    write_vectors(folder / "vectors.npy", vectors)
    return load_index(folder / "index.faiss", open_vectors(folder / "vectors.npy"), index.spec)


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return clustered(COUNT, DIM, clusters=60)


@pytest.fixture(scope="module", params=["exact", "flat", "ivf_sq8", "flat, reopened", "ivf_sq8, reopened"])
def index(
    request: pytest.FixtureRequest, vectors: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> VectorIndex:
    kind, _, again = request.param.partition(", ")
    if kind == "exact":
        return ExactIndex(vectors)
    built = build_index(vectors, IndexSpec("flat") if kind == "flat" else IndexSpec.inverted(COUNT))
    return reopened(tmp_path_factory.mktemp("index"), built, vectors) if again else built


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_answers_like_the_reference(
    index: VectorIndex, vectors: NDArray[np.float32], scenario: Scenario
) -> None:
    queries = near(vectors, scenario.batch)
    allowed = scenario.allowed(COUNT) if scenario.allowed else None
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


@pytest.mark.services
def test_a_hundred_thousand_vectors_keep_their_recall() -> None:
    vectors = clustered(100_000, 64, clusters=400)
    index = build_index(vectors)
    assert index.kind == "ivf_sq8"
    queries = near(vectors, 100)
    rng = np.random.default_rng(5)
    for share in (None, 0.5, 0.1, 0.03, 0.01):
        allowed = None if share is None else rng.random(len(vectors)) < share
        expected = ExactIndex(vectors).search(queries, 100, allowed)
        found = index.search(queries, 100, allowed)
        recall = recall_at_k(found.rows, found.scores, expected.rows, expected.scores)
        assert recall >= 0.98, f"share {share}: {recall:.3f}"
