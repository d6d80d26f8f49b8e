"""The TensorRT rung's logic on the CPU, with the fake TensorRT of the export's tests."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.fake_tensorrt import IExecutionContext, fake_tensorrt

from benchmarks.gpu_check import tensorrt_engine
from benchmarks.gpu_check.scale import Scale
from export.tensorrt import runtime_engine
from export.tensorrt.machine import Machine

VERSION = "11.4.0.106"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was built, with the fake in TensorRT's place and the CPU in the GPU's."""
    plans: list[Path] = []

    def build_plan(_: Path, plan: Path, *_settings: object) -> SimpleNamespace:
        plans.append(plan)
        plan.write_bytes(b"plan 1")
        return SimpleNamespace(plan=plan, tensorrt_version=VERSION, flags={})  # of BuildResult, what is read

    machine = Machine("9.0", "NVIDIA H200")
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(VERSION))
    monkeypatch.setattr(runtime_engine, "this_machine", lambda: machine)
    monkeypatch.setattr(tensorrt_engine, "require_machine", lambda: machine)
    monkeypatch.setattr(tensorrt_engine, "build_plan", build_plan)
    monkeypatch.setattr(tensorrt_engine, "DEVICE", "cpu")
    return plans


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "sample-query_tower-fp16.onnx"
    path.write_bytes(b"a graph")
    return path


def test_a_plan_is_built_once_and_opened_again(built: list[Path], graph: Path, smallest: Scale) -> None:
    engine = tensorrt_engine.open_engine(graph, smallest.profile(16))
    assert engine.name == f"tensorrt {VERSION} on NVIDIA H200"
    tensorrt_engine.open_engine(graph, smallest.profile(16))
    assert built == [graph.with_suffix(".plan")]


@pytest.mark.usefixtures("built")
def test_bound_tensors_are_set_once_and_run_often(graph: Path, smallest: Scale) -> None:
    engine = tensorrt_engine.open_engine(graph, smallest.profile(16))
    ids = torch.arange(16, dtype=torch.int64).reshape(2, 8)
    call = engine.bind((ids, torch.ones_like(ids)))
    held = [call() for _ in range(3)][-1]
    assert isinstance(held, dict)
    assert held["query_embedding"][:, 0].tolist() == [28.0, 92.0]
    assert engine._contexts[0].runs == 3


@pytest.mark.usefixtures("built")
def test_a_shape_that_a_plan_refuses_is_not_measured(graph: Path, smallest: Scale) -> None:
    wide = smallest.profile(16).model_copy(update={"batch": (1, 4, 200)})
    engine = tensorrt_engine.open_engine(graph, wide)
    ids = torch.ones(150, 8, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="refuses the shape of input_ids"):
        engine.bind((ids, ids))


@pytest.mark.usefixtures("built")
def test_a_run_that_fails_is_no_measurement(
    graph: Path, smallest: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IExecutionContext, "execute_async_v3", lambda *_: False)
    engine = tensorrt_engine.open_engine(graph, smallest.profile(16))
    ids = torch.ones(2, 8, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="could not run"):
        engine.bind((ids, ids))()
