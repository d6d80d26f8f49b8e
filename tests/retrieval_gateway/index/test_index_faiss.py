"""Building, saving and opening; and what is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from index_builders import clustered, near
from numpy.typing import NDArray

import faults
from retrieval_gateway.index import (
    ExactIndex,
    IndexSpec,
    build_index,
    load_index,
    open_vectors,
    save_index,
    write_vectors,
)

VECTORS = clustered(400, 16, clusters=8)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, IndexSpec("flat")),
        (49_999, IndexSpec("flat")),
        (50_000, IndexSpec("ivf_sq8", 894, 32)),
        (1_000_000, IndexSpec("ivf_sq8", 4000, 32)),
        (10_000_000, IndexSpec("ivf_sq8", 12649, 98)),
    ],
)
def test_the_size_chooses_the_index(count: int, expected: IndexSpec) -> None:
    assert IndexSpec.for_count(count) == expected


@pytest.mark.parametrize("spec", [IndexSpec("flat"), IndexSpec("ivf_sq8", 100, 7)])
def test_a_spec_survives_the_manifest(spec: IndexSpec) -> None:
    assert IndexSpec.from_manifest(spec.kind, spec.parameters()) == spec


@pytest.mark.parametrize(
    ("kind", "parameters"), [("hnsw", {}), ("ivf_sq8", {}), ("ivf_sq8", {"nlist": 2, "nprobe": 3})]
)
def test_an_impossible_spec_is_refused(kind: str, parameters: dict[str, int | float | str]) -> None:
    with pytest.raises(faults.InvalidInput, match="index"):
        IndexSpec.from_manifest(kind, parameters)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_named_by_row(poison: float, tmp_path: Path) -> None:
    bad = VECTORS.copy()
    bad[17, 3] = poison
    for refuse in (
        lambda: build_index(bad),
        lambda: write_vectors(tmp_path / "v.npy", bad),
        lambda: ExactIndex(bad),
    ):
        with pytest.raises(faults.InvalidInput, match=r"rows \[17\]"):
            refuse()


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(faults.InvalidInput):
        build_index(VECTORS[:0])
    with pytest.raises(faults.InvalidInput):
        build_index(VECTORS.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(faults.InvalidInput, match="more lists than vectors"):
        build_index(VECTORS, IndexSpec("ivf_sq8", 500, 1))
    index = build_index(VECTORS)
    with pytest.raises(faults.InvalidInput, match="k:"):
        index.search(VECTORS[:1], 0)
    with pytest.raises(faults.InternalError, match="queries"):
        index.search(VECTORS[:1, :8], 1)
    with pytest.raises(faults.InternalError, match="NaN"):
        index.search(np.full((1, 16), np.nan, np.float32), 1)
    with pytest.raises(faults.InternalError, match="allowed"):
        index.search(VECTORS[:1], 1, np.ones(3, np.bool_))


def test_the_same_seed_builds_the_same_index() -> None:
    spec = IndexSpec("ivf_sq8", 10, 2)
    queries = near(VECTORS, 20)
    one, same = (build_index(VECTORS, spec, seed=3).search(queries, 30) for _ in range(2))
    np.testing.assert_array_equal(one.rows, same.rows)


def test_more_probes_find_what_few_miss() -> None:
    index = build_index(VECTORS, IndexSpec("ivf_sq8", 20, 1))
    queries = near(VECTORS, 30)
    exact = ExactIndex(VECTORS).search(queries, 10).rows

    def agreeing(found: NDArray[np.int64]) -> int:
        return sum(len(np.intersect1d(a, b)) for a, b in zip(found, exact, strict=True))

    thorough = index.with_nprobe(20)
    assert agreeing(thorough.search(queries, 10).rows) > agreeing(index.search(queries, 10).rows)
    assert thorough.spec.nprobe == 20


def test_an_index_of_other_vectors_is_refused(tmp_path: Path) -> None:
    flat = build_index(VECTORS)
    save_index(tmp_path / "index.faiss", flat)
    with pytest.raises(faults.Mismatch, match=r"index count.*399.*400"):
        load_index(tmp_path / "index.faiss", VECTORS[:399], flat.spec)
    with pytest.raises(faults.Mismatch, match="index dim"):
        load_index(tmp_path / "index.faiss", VECTORS[:, :8], flat.spec)
    with pytest.raises(faults.Mismatch, match="index kind"):
        load_index(tmp_path / "index.faiss", VECTORS, IndexSpec("ivf_sq8", 10, 1))


@pytest.mark.parametrize("content", [b"", b"no index at all", None])
def test_a_torn_index_is_a_storage_failure(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "index.faiss"
    flat = build_index(VECTORS)
    save_index(path, flat)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(faults.StorageFailed, match="copy the release again"):
        load_index(path, VECTORS, flat.spec)


def test_torn_vectors_are_a_storage_failure(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    with pytest.raises(faults.NotFound):
        open_vectors(path)
    write_vectors(path, VECTORS)
    np.testing.assert_array_equal(open_vectors(path), VECTORS)
    for size in (0, 10, 5000):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(faults.StorageFailed):
            open_vectors(path)
    with pytest.raises(faults.NotFound):
        load_index(tmp_path / "none.faiss", VECTORS, IndexSpec("flat"))


def test_threads_may_search_at_once() -> None:
    index = build_index(VECTORS, IndexSpec("ivf_sq8", 10, 5))
    queries = near(VECTORS, 8)
    expected = index.search(queries, 20).rows
    answers: list[NDArray[np.int64]] = []

    def work() -> None:
        answers.extend(index.search(queries, 20).rows for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert all((rows == expected).all() for rows in answers)
