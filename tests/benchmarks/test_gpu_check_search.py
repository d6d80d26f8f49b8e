"""Collections, exact answers and recall; FAISS for the CPU stands in for FAISS on a GPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu_check import indexes, search, vectors
from benchmarks.gpu_check.parts import Recorder
from benchmarks.gpu_check.scale import Scale
from benchmarks.gpu_check.vectors import Collection, clustered, exact, true_scores
from evaluation.exact import exact_search


@pytest.fixture(scope="module")
def collection() -> Collection:
    return clustered(3000, 16, 20, "cpu", seed=3)


def test_a_collection_is_seeded_and_on_the_unit_sphere(collection: Collection) -> None:
    again = clustered(3000, 16, 20, "cpu", seed=3)
    assert torch.equal(collection.vectors, again.vectors)
    assert not torch.equal(collection.vectors, clustered(3000, 16, 20, "cpu", seed=4).vectors)
    assert collection.queries.shape == (20, 16)
    torch.testing.assert_close(collection.vectors.norm(dim=1), torch.ones(3000))


def test_neighbours_are_nearer_than_chance(collection: Collection) -> None:
    best, _ = exact(collection.vectors, collection.queries, 1)
    assert best.mean() > (collection.queries @ collection.vectors.T).mean() + 0.3


def test_exact_agrees_with_the_gates_yardstick_over_blocks(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_BLOCK", 128)  # several blocks, and the last one short
    scores, rows = exact(collection.vectors, collection.queries, 50)
    expected, best = exact_search(collection.vectors.numpy(), collection.queries.numpy(), 50)
    np.testing.assert_allclose(scores.numpy(), best, atol=1e-6)
    assert (rows.numpy() == expected).mean() > 0.99


def test_what_was_not_found_scores_as_nothing(collection: Collection) -> None:
    rows = np.array([[5, -1]], dtype=np.int64)
    scores = true_scores(collection, rows)
    assert scores[0, 0] == pytest.approx(float(collection.vectors[5] @ collection.queries[0]), abs=1e-6)
    assert scores[0, 1] == -np.inf


def test_every_index_is_measured_and_an_absent_one_says_why(smallest: Scale, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "search.json", 60.0, {})
    search.measure(recorder, 16, smallest, "cpu")
    found = recorder.section
    recalls = {f"{entry['index']} {entry['setting']}".strip(): entry for entry in found["indexes"]}
    assert recalls["exact, torch"]["recall_at_100"] == 1.0
    assert recalls["flat, FAISS"]["recall_at_100"] == 1.0
    assert recalls["IVF, FAISS nprobe 16"]["recall_at_10"] == 1.0  # all lists
    fewer = recalls["IVF, FAISS nprobe 8"]["recall_at_100"]
    assert 0.3 < fewer <= 1.0
    assert recalls["IVF SQ8, FAISS on CPU nprobe 16"]["recall_at_100"] > 0.9
    assert {(row["index"], row["batch"]) for row in found["rows"]} == {
        (name, batch) for name in recalls for batch in smallest.search_batches
    }
    assert [entry["what"] for entry in found["not_run"]] == ["CAGRA, FAISS"]
    assert "without CAGRA" in found["not_run"][0]["cause"]


def test_without_faiss_exact_search_is_still_measured(
    smallest: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise ModuleNotFoundError("No module named 'faiss'")

    monkeypatch.setattr(indexes, "_faiss", absent)
    recorder = Recorder(tmp_path / "search.json", 60.0, {})
    search.measure(recorder, 16, replace(smallest, search_batches=(1,)), "cpu")
    assert {row["index"] for row in recorder.section["rows"]} == {"exact, torch"}
    assert len(recorder.section["not_run"]) == 4


def test_a_faiss_without_gpu_support_is_refused_for_one(collection: Collection) -> None:
    if hasattr(indexes._faiss(), "StandardGpuResources"):
        pytest.skip("this FAISS has GPU support")
    for kind in indexes.kinds("cuda", 16)[1:4]:
        with pytest.raises(RuntimeError, match="needs faiss-gpu-cuvs"):
            kind.build(collection)
