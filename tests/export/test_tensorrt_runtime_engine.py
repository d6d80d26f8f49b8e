"""The runtime's logic on the CPU, with a fake TensorRT; what only a GPU can show is marked so."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.fake_tensorrt import IExecutionContext, fake_tensorrt

from export.tensorrt import runtime_engine
from export.tensorrt.machine import Machine
from export.tensorrt.runtime_engine import TensorRTEngine, tensor_names
from faults import GateFailed, Mismatch, NotFound, Unavailable
from releases.engine_manifest import EngineManifest
from releases.export_record import OptimisationProfile

PROFILES = (
    OptimisationProfile(batch=(1, 4, 8), length=(8, 8, 8)),
    OptimisationProfile(batch=(1, 4, 200), length=(16, 16, 24)),
)


@pytest.fixture(params=["10.13.3.9", "11.4.0.106"])
def version(request, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(request.param))
    monkeypatch.setattr(runtime_engine, "this_machine", lambda: Machine("9.0", "NVIDIA H200"))
    return request.param


def write_plan(folder: Path, version: str, content: bytes = b"plan 2", **changes):
    path = folder / "model.cc90.plan"
    path.write_bytes(content)
    fields = {
        "model": "query_tower",
        "precision": "fp16",
        "compute_capability": "9.0",
        "gpu": "NVIDIA H200",
        "tensorrt_version": version,
        "onnx_sha256": "0" * 64,
        "plan_sha256": hashlib.sha256(content).hexdigest(),
        "profiles": PROFILES,
        "flags": {},
        "command": "vitrine export",
    }
    return path, EngineManifest.model_validate({**fields, **changes})


def feed(rows, tokens):
    ids = np.arange(rows * tokens, dtype=np.int64).reshape(rows, tokens)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def test_a_plan_runs_under_the_profile_of_its_shape(tmp_path, version):
    engine = TensorRTEngine(*write_plan(tmp_path, version), device="cpu")
    assert engine.name == f"tensorrt {version} on NVIDIA H200"
    assert engine.inputs == ("input_ids", "attention_mask")
    assert engine.outputs == ("query_embedding",)
    for tokens, profile in ((8, 0), (24, 1), (8, 0)):
        rows = feed(3, tokens)
        (found,) = engine.run(rows)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, 0], rows["input_ids"].sum(axis=1))
        np.testing.assert_array_equal(found[:, 1], np.full(3, profile))


def test_inputs_need_not_be_contiguous(tmp_path, version):
    engine = TensorRTEngine(*write_plan(tmp_path, version), device="cpu")
    rows = {name: np.asfortranarray(array) for name, array in feed(3, 8).items()}
    (found,) = engine.run(rows)
    np.testing.assert_array_equal(found[:, 0], rows["input_ids"].sum(axis=1))


@pytest.mark.parametrize("shape", [(3, 12), (9, 8), (3, 32)])
def test_a_shape_that_no_profile_covers_fails_the_gate_by_name(tmp_path, version, shape):
    engine = TensorRTEngine(*write_plan(tmp_path, version), device="cpu")
    with pytest.raises(GateFailed, match="no optimisation profile covers"):
        engine.run(feed(*shape))


def test_a_shape_that_the_plan_refuses_fails_the_gate(tmp_path, version):
    engine = TensorRTEngine(*write_plan(tmp_path, version), device="cpu")
    with pytest.raises(GateFailed, match="refuses the shape of input_ids"):
        engine.run(feed(150, 16))


def test_an_execution_that_fails_fails_the_gate(tmp_path, version, monkeypatch):
    monkeypatch.setattr(IExecutionContext, "execute_async_v3", lambda *_: False)
    engine = TensorRTEngine(*write_plan(tmp_path, version), device="cpu")
    with pytest.raises(GateFailed, match="could not run the plan"):
        engine.run(feed(1, 8))


@pytest.mark.parametrize("change", [{"compute_capability": "8.6"}, {"tensorrt_version": "10.0.0.1"}])
def test_a_plan_of_another_machine_is_refused_before_tensorrt_reads_it(
    tmp_path, version, change, monkeypatch
):
    read = []
    monkeypatch.setattr(sys.modules["tensorrt"], "Runtime", read.append)
    with pytest.raises(Mismatch):
        TensorRTEngine(*write_plan(tmp_path, version, **change), device="cpu")
    assert read == []


def test_a_truncated_plan_is_refused_before_tensorrt_reads_it(tmp_path, version):
    plan, manifest = write_plan(tmp_path, version)
    plan.write_bytes(b"plan")
    with pytest.raises(Mismatch, match="plan_sha256"):
        TensorRTEngine(plan, manifest, device="cpu")


def test_a_plan_that_tensorrt_cannot_read_is_a_fault(tmp_path, version):
    with pytest.raises(Unavailable, match="cannot read the plan"):
        TensorRTEngine(*write_plan(tmp_path, version, content=b"nonsense"), device="cpu")


def test_fewer_profiles_in_the_plan_than_in_the_manifest_is_a_fault(tmp_path, version):
    with pytest.raises(Unavailable, match="no execution context for profile 1"):
        TensorRTEngine(*write_plan(tmp_path, version, content=b"plan 1"), device="cpu")


def test_without_tensorrt_the_fault_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(NotFound, match=r"vitrine\[tensorrt\]"):
        TensorRTEngine(*write_plan(tmp_path, "11.4.0.106"), device="cpu")


def test_a_torch_without_cuda_is_named_before_tensorrt_reads_the_plan(tmp_path, version, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotFound, match="torch's CUDA build"):
        TensorRTEngine(*write_plan(tmp_path, version, content=b"nonsense"))


def test_names_come_in_the_graphs_order_whatever_lies_between():
    class Engine:
        tensors = (("b", "out"), ("x", "in"), ("a", "out"), ("c", "in"))
        num_io_tensors = 4

        def get_tensor_name(self, index):
            return self.tensors[index][0]

        def get_tensor_mode(self, name):
            return dict(self.tensors)[name]

    assert tensor_names(Engine(), "in") == (("x", "c"), ("b", "a"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU that torch sees")
def test_a_real_plan_gives_onnx_runtimes_numbers(exported, tmp_path):
    pytest.importorskip("tensorrt", exc_type=ImportError)
    import onnxruntime

    from export.tensorrt.builder import BuildSettings, build_plan
    from export.tensorrt.machine import require_machine
    from export.tensorrt.plans import describe_plan

    machine, graph = require_machine(), exported["query_tower"]
    settings = BuildSettings(timing_caches=tmp_path, compute_capability=machine.compute_capability)
    profiles = (OptimisationProfile(batch=(1, 4, 8), length=(8, 8, 16)),)
    states = []
    for _ in range(2):
        result = build_plan(graph, tmp_path / "model.plan", profiles, settings)
        states.append(result.timing_cache)
    assert states == ["new", "reused"]
    manifest = describe_plan(
        result, graph, profiles, machine, model="query_tower", precision="fp32", command="pytest"
    )
    rows = {"input_ids": np.full((5, 16), 7, np.int64), "attention_mask": np.ones((5, 16), np.int64)}
    found = TensorRTEngine(tmp_path / "model.plan", manifest).run(rows)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(found[0], session.run(None, rows)[0], atol=1e-4)
