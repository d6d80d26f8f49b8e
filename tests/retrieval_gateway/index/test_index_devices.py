"""Which device a release's index is opened on, and what is refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import structlog
from index_builders import clustered

import faults
from retrieval_gateway.index import (
    FaissIndex,
    IndexSpec,
    build_index,
    open_index,
    require_device,
    save_index,
)
from retrieval_gateway.index import devices as opening
from retrieval_gateway.index import faiss_import as importing
from retrieval_gateway.index.gpu_copies import Copy, gpu_copies, why_no_gpu
from retrieval_gateway.index.offloaded_index import OffloadedIndex

VECTORS = clustered(600, 16, clusters=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_index(tmp_path / "index.faiss", build_index(VECTORS))
    return tmp_path / "index.faiss"


def pretend(monkeypatch: pytest.MonkeyPatch, reason: str | None, *copies: Copy) -> None:
    monkeypatch.setattr("retrieval_gateway.index.devices.why_no_gpu", lambda: reason)
    monkeypatch.setattr("retrieval_gateway.index.devices.gpu_copies", lambda _cpu: list(copies))


def exact(cpu: FaissIndex) -> Copy:
    return Copy("exact", lambda: lambda queries, width: cpu.faiss_index.search(queries, width)[1], 2048)


def broken() -> Copy:
    def fail() -> None:
        raise RuntimeError("out of memory")

    return Copy("broken", fail, 2048)  # type: ignore[arg-type]


def test_the_cpu_is_opened_where_it_is_asked_for_and_where_there_is_no_gpu(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, None, exact(build_index(VECTORS)))
    assert isinstance(open_index(path, VECTORS, IndexSpec("flat"), "cpu"), FaissIndex)
    pretend(monkeypatch, "FAISS sees no GPU")
    assert isinstance(open_index(path, VECTORS, IndexSpec("flat"), "auto"), FaissIndex)
    assert isinstance(open_index(path, VECTORS, IndexSpec("flat")), FaissIndex)


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_a_gpu_is_used_where_there_is_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, device: opening.IndexDevice
) -> None:
    pretend(monkeypatch, None, exact(build_index(VECTORS)))
    index = open_index(path, VECTORS, IndexSpec("flat"), device)
    assert isinstance(index, OffloadedIndex)
    assert not index.search(VECTORS[:1], 5).on_cpu
    index.close()


def test_gpu_is_refused_without_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "FAISS 1.15.1 sees no GPU")
    for refuse in (
        lambda: require_device("gpu"),
        lambda: open_index(path, VECTORS, IndexSpec("flat"), "gpu"),
    ):
        with pytest.raises(faults.NotFound, match=r"VITRINE_INDEX_DEVICE.*sees no GPU.*auto or cpu"):
            refuse()
    require_device("auto")
    require_device("cpu")


def test_a_gpu_that_cannot_hold_the_index_is_an_error_only_where_it_was_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, None, broken())
    with pytest.raises(faults.Unavailable, match="out of memory"):
        open_index(path, VECTORS, IndexSpec("flat"), "gpu")
    with structlog.testing.capture_logs() as logged:
        assert isinstance(open_index(path, VECTORS, IndexSpec("flat"), "auto"), FaissIndex)
    assert "out of memory" in logged[0]["reason"]


def test_why_there_is_no_gpu() -> None:
    def reason(**module: object) -> str | None:
        with pytest.MonkeyPatch.context() as patch:
            fake = SimpleNamespace(__version__="9.9", **module)
            patch.setattr("retrieval_gateway.index.gpu_copies.faiss_module", lambda: fake)
            return why_no_gpu()

    assert reason() == "FAISS 9.9 is built without GPU support"
    assert reason(StandardGpuResources=object, get_num_gpus=lambda: 0) == "FAISS 9.9 sees no GPU"
    assert reason(StandardGpuResources=object, get_num_gpus=lambda: 1) is None


def test_what_is_tried_on_a_gpu_depends_on_kind_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(index: FaissIndex) -> list[str]:
        return [copy.name for copy in gpu_copies(index)]

    inverted = build_index(VECTORS, IndexSpec("ivf_sq8", 10, 2))
    with_cagra = SimpleNamespace(GpuIndexCagra=object)
    monkeypatch.setattr("retrieval_gateway.index.gpu_copies.faiss_module", lambda: with_cagra)
    assert names(build_index(VECTORS)) == ["flat clone"]
    assert names(inverted) == ["CAGRA graph", "ivf_sq8 clone"]
    monkeypatch.setattr("retrieval_gateway.index.gpu_copies._GRAPH_BYTES", 1000)
    assert names(inverted) == ["ivf_sq8 clone"]
    monkeypatch.undo()
    monkeypatch.setattr("retrieval_gateway.index.gpu_copies.faiss_module", SimpleNamespace)
    assert names(inverted) == ["ivf_sq8 clone"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("faiss"), "is not installed"),
        (RuntimeError("faiss-gpu: failed to load libcudart.so"), "cannot be loaded: .*libcudart"),
    ],
)
def test_a_faiss_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(_name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(faults.NotFound, match=said):
        importing.faiss_module.__wrapped__()


@pytest.mark.gpu
def test_a_real_gpu_answers_like_the_cpu() -> None:
    if (reason := why_no_gpu()) is not None:
        pytest.skip(reason)
    vectors = clustered(20_000, 32, clusters=100)
    cpu = build_index(vectors, IndexSpec.inverted(len(vectors)))
    for copy in gpu_copies(cpu):
        index = opening.offload(cpu, [copy])
        found, expected = index.search(vectors[:64], 50), cpu.search(vectors[:64], 50)
        assert not found.on_cpu
        alike = [len(np.intersect1d(a, b)) for a, b in zip(found.rows, expected.rows, strict=True)]
        assert np.mean(alike) >= 49
        index.close()
