from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from evaluation.exact import exact_search
from faults import GateFailed
from indexing import recall_gate
from indexing.recall_gate import MINIMUM_RECALL, gated_index, measure_recall
from retrieval_gateway.index.builder import build_index
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import Neighbours


def unit_vectors(count: int, dim: int = 16) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(1).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS = unit_vectors(2000)


@dataclasses.dataclass(frozen=True)
class Lossy:
    """An index that finds a share of the true neighbours which grows with its nprobe up to a ceiling."""

    vectors: npt.NDArray[np.float32]
    spec: IndexSpec
    ceiling: float
    kind: str = "ivf_sq8"

    def with_nprobe(self, nprobe: int) -> Lossy:
        return dataclasses.replace(self, spec=self.spec.with_nprobe(nprobe))

    def search(self, queries: npt.NDArray[np.float32], k: int) -> Neighbours:
        rows, scores = exact_search(self.vectors, queries, k)
        share = min(self.ceiling, self.spec.nprobe / 10)
        rows[:, round(share * k) :] = -1
        return Neighbours(rows, np.where(rows < 0, -np.inf, scores).astype(np.float32))


def install(monkeypatch: pytest.MonkeyPatch, ceiling: float) -> None:
    def build(vectors: npt.NDArray[np.float32], spec: IndexSpec | None) -> Lossy:
        assert spec is not None
        return Lossy(vectors, spec, ceiling)

    monkeypatch.setattr(recall_gate, "build_index", build)


def test_probing_is_raised_until_the_gate_is_passed_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ceiling=1.0)
    index, report = gated_index(VECTORS[:200], IndexSpec("ivf_sq8", 64, 2))
    assert index.spec.nprobe == 16  # 2, 4 and 8 find 20, 40 and 80 %
    assert report.passed
    assert report.measured == {"recall_at_100": 1.0}


def test_an_index_that_cannot_pass_is_refused_with_what_it_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ceiling=0.9)
    with pytest.raises(GateFailed, match=r"0\.9") as caught:
        gated_index(VECTORS[:200], IndexSpec("ivf_sq8", 40, 8))
    assert caught.value.value == {"nlist": 40, "nprobe": 40}  # every list was tried
    assert str(MINIMUM_RECALL) in caught.value.fix


def test_the_real_inverted_lists_pass_once_enough_are_probed() -> None:
    spec = IndexSpec("ivf_sq8", 10, 1)
    assert not measure_recall(build_index(VECTORS, spec), VECTORS).passed
    index, report = gated_index(VECTORS, spec)
    assert index.spec.nprobe > 1
    assert report.measured["recall_at_100"] >= MINIMUM_RECALL
    assert report == measure_recall(index, VECTORS)


def test_the_default_for_a_small_catalogue_is_exact() -> None:
    index, report = gated_index(VECTORS[:40])  # fewer than the 100 neighbours asked for
    assert index.kind == "flat"
    assert report.measured["recall_at_100"] == 1.0
    assert report.thresholds == {"recall_at_100": MINIMUM_RECALL}


def test_half_of_the_queries_are_no_products() -> None:
    asked: list[npt.NDArray[np.float32]] = []

    class Watched(Lossy):
        def search(self, queries: npt.NDArray[np.float32], k: int) -> Neighbours:
            asked.append(queries)
            return super().search(queries, k)

    measure_recall(Watched(VECTORS, IndexSpec("ivf_sq8", 40, 40), 1.0), VECTORS)  # type: ignore[arg-type]
    nearest = (asked[0] @ VECTORS.T).max(axis=1)
    np.testing.assert_allclose(np.linalg.norm(asked[0], axis=1), 1.0, rtol=1e-5)
    assert (nearest > 0.9999).mean() == 0.5
    assert nearest.min() > 0.5
