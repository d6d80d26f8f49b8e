"""Export, ladder, gate and clock, on the CPU and with the smallest towers."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from gpu_rehearsal import Rehearsal
from onnx import numpy_helper

from benchmarks.gpu_check import engines, gating, speed, subjects
from benchmarks.gpu_check.contenders import EAGER, contenders, precision_of, with_weights_in
from benchmarks.gpu_check.engines import OrtEngine, cpu_session, rtx_options
from benchmarks.gpu_check.exporting import graph_file
from benchmarks.gpu_check.gating import Order, try_engine
from benchmarks.gpu_check.ladder import rung_named, rungs
from benchmarks.gpu_check.scale import SCALES, Scale
from benchmarks.gpu_check.subjects import TOWERS, Subject, describe, make_subject
from export.targets import PRECISIONS


@pytest.fixture
def subject(rehearsal: Rehearsal) -> Subject:
    return make_subject("tiny", [rehearsal.checkpoint], 16)


def test_the_parts_before_the_engines_found_what_they_should(rehearsal: Rehearsal) -> None:
    found = rehearsal.so_far["parts"]["export"]["result"]
    assert [entry["weights"] for entry in found["subjects"]] == ["checkpoint checkpoint"]
    counted = {(entry["tower"], entry["length"]) for entry in found["counts"]}
    assert counted == {(tower, length) for tower in TOWERS for length in (8, 16)}
    assert {(entry["tower"], "fp32") for entry in found["graphs"]} >= {(tower, "fp32") for tower in TOWERS}
    assert {"what": "tiny query_tower at length 24", "cause": "it has 16 positions"} in found["not_run"]


def test_towers_of_minilm_size_do_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise subjects.NotFound("the MiniLM checkpoint is not installed")

    monkeypatch.setattr(subjects, "build_towers", absent)
    small = replace(subjects.MINILM_SIZES, width=24, heads=2, layers=1, feedforward=48, vocabulary=600)
    monkeypatch.setattr(subjects, "MINILM_SIZES", small)
    made = make_subject("catalogue", [], 64)
    assert "its package is not installed" in made.weights
    assert describe(made)["width"] == 24
    assert made.longest("product_tower") == 512


def test_inputs_are_of_the_shape_asked_for_and_repeat(subject: Subject) -> None:
    one = subject.inputs("product_tower", 3, 8, "cpu")
    assert [tuple(tensor.shape) for tensor in one] == [(3, 8), (3, 8), (3, 1, 16, 16, 3), (3, 1), (3, 1)]
    again = subject.inputs("product_tower", 3, 8, "cpu")
    assert all(torch.equal(left, right) for left, right in zip(one, again, strict=True))


@pytest.mark.parametrize("tower", TOWERS)
def test_an_engine_gives_torchs_vectors_bound_or_not(
    rehearsal: Rehearsal, subject: Subject, tower: str
) -> None:
    session = cpu_session(graph_file(rehearsal.work, "tiny", tower, "fp32"))
    engine = OrtEngine(session, "onnxruntime", "cpu")
    inputs = subject.inputs(tower, 2, 8, "cpu")
    with torch.no_grad():
        expected = subject.module(tower)(*inputs)
    expected = (expected if isinstance(expected, tuple) else (expected,))[0].numpy()
    names = [value.name for value in session.get_inputs()]
    feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    np.testing.assert_allclose(engine.run(feed)[0], expected, atol=1e-5)
    engine.bind(inputs)()
    assert engine.fed_from == "device memory"


def test_memory_that_a_provider_refuses_is_copied_and_said(
    rehearsal: Rehearsal, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OrtEngine(cpu_session(graph_file(rehearsal.work, "tiny", TOWERS[0], "fp32")), "x", "cpu")

    def refuse(_: object) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr(engine, "_bound", refuse)
    call = engine.bind(subject.inputs(TOWERS[0], 2, 8, "cpu"))
    assert engine.fed_from == "host memory"
    call()


def test_the_plugins_profile_names_every_input(rehearsal: Rehearsal, smallest: Scale) -> None:
    options = rtx_options(graph_file(rehearsal.work, "tiny", "product_tower", "fp32"), smallest.profile(16))
    assert options["nv_profile_min_shapes"] == (
        "input_ids:1x8,attention_mask:1x8,pixels:1x1x16x16x3,has_text:1x1,has_image:1x1"
    )
    assert options["nv_profile_max_shapes"].startswith(
        "input_ids:4x16,attention_mask:4x16,pixels:4x1x16x16x3"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand: these rungs may hold")
def test_without_a_gpu_every_rung_for_one_falls_through_with_its_cause(
    rehearsal: Rehearsal, subject: Subject, smallest: Scale
) -> None:
    ladder = rungs("cuda")
    assert [rung.name for rung in ladder] == ["TensorRT", "TensorRT-RTX", "ONNX Runtime CUDA"]
    for rung in ladder:
        trial = try_engine(rung, subject, TOWERS[0], "fp32", smallest, rehearsal.work)
        assert not trial["runs"]
        assert "Error" in trial["cause"]


@pytest.mark.parametrize("tower", TOWERS)
def test_a_sound_engine_passes_the_gate(
    rehearsal: Rehearsal, subject: Subject, smallest: Scale, tower: str
) -> None:
    rung = rung_named("ONNX Runtime CPU", "cpu")
    trial = try_engine(rung, subject, tower, "fp32", smallest, rehearsal.work)
    assert trial["gate"] == "passed", trial
    assert 0 <= trial["one_minus"]["minimum_cosine"] < 1e-5


def test_a_broken_engine_runs_and_is_refused(
    rehearsal: Rehearsal, subject: Subject, smallest: Scale, tmp_path: Path
) -> None:
    model = onnx.load_model(str(graph_file(rehearsal.work, "tiny", TOWERS[0], "fp32")))
    weight = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[::-1].copy(), weight.name))
    onnx.save_model(model, str(graph_file(tmp_path, "tiny", TOWERS[0], "fp32")))
    trial = try_engine(rung_named("ONNX Runtime CPU", "cpu"), subject, TOWERS[0], "fp32", smallest, tmp_path)
    assert (trial["runs"], trial["gate"]) == (True, "failed")
    assert "cosine" in trial["refusal"]


def order(graphs: int) -> Order:
    every = [(tower, precision) for precision in PRECISIONS for tower in TOWERS]
    return Order("TensorRT", "tiny", every[:graphs], "tiny", "/nowhere", [], "cuda")


def test_after_a_crash_the_other_graphs_are_tried_in_a_new_process(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def process(rest: Order, _: float) -> tuple[list[gating.Trial], str]:
        asked.append(len(rest.graphs))
        fine = [{"tower": tower, "precision": precision, "runs": True} for tower, precision in rest.graphs]
        return (fine[:2], "died of SIGSEGV") if len(asked) == 1 else (fine, "")

    monkeypatch.setattr(gating, "_one_process", process)
    found = gating._trials(order(6), rehearsal.recorder(tmp_path))
    assert asked == [6, 3]
    assert [trial["runs"] for trial in found] == [True, True, False, True, True, True]
    assert found[2]["cause"] == "died of SIGSEGV"


def test_a_rung_that_cannot_open_its_first_graph_is_asked_once(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "_one_process", lambda *_: ([], "no such library"))
    found = gating._trials(order(4), rehearsal.recorder(tmp_path))
    assert [trial["cause"] for trial in found] == ["no such library"]


def test_what_a_trial_process_prints_before_it_dies_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import os; print('trial: ' + '{\"runs\": true}', flush=True); print('noise'); os._exit(9)"
    monkeypatch.setattr(gating.sys, "executable", sys.executable)
    real = gating.subprocess.run

    def run(command: list[str], **named: object) -> object:
        json.loads(command[-1])  # the order is JSON
        return real([command[0], "-c", program], **named)

    monkeypatch.setattr(gating.subprocess, "run", run)
    found, ending = gating._one_process(order(2), 60.0)
    assert found == [{"runs": True}]
    assert "status 9" in ending


def test_the_ladder_is_gone_down_to_the_first_rung_that_holds(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smallest: Scale
) -> None:
    monkeypatch.setitem(SCALES, "smallest", smallest)

    def process(rest: Order, _: float) -> tuple[list[gating.Trial], str]:
        if rest.engine != "ONNX Runtime CPU":
            return [], f"{rest.engine} is absent"
        return [{**gating._where(rest, graph), "runs": True, "gate": "passed"} for graph in rest.graphs], ""

    monkeypatch.setattr(gating, "_one_process", process)
    recorder = rehearsal.recorder(tmp_path)
    gating.measure(recorder, "smallest", rehearsal.work, [rehearsal.checkpoint], "cpu")
    assert recorder.section["engine"] == "ONNX Runtime CPU"
    assert recorder.section["fell_through"] == [
        {"engine": name, "cause": f"{name} is absent"}
        for name in ("TensorRT", "TensorRT-RTX", "ONNX Runtime CUDA")
    ]
    assert {trial["engine"] for trial in recorder.section["trials"]} == {"ONNX Runtime CPU"}


def test_weights_in_half_precision_leave_the_fusion_alone(subject: Subject) -> None:
    tower = subject.module("product_tower")
    twin = with_weights_in(tower, torch.bfloat16)
    kinds = {name.split(".")[0]: value.dtype for name, value in twin.named_parameters()}
    assert kinds["fusion"] == torch.float32
    assert kinds["encoder"] == kinds["image_encoder"] == torch.bfloat16
    assert {value.dtype for value in tower.parameters()} == {torch.float32}
    inputs = subject.inputs("product_tower", 2, 8, "cpu")
    with torch.no_grad():
        near = torch.nn.functional.cosine_similarity(tower(*inputs)[0], twin(*inputs)[0])
    assert near.min() > 0.99


def test_contenders_tell_their_precision(subject: Subject) -> None:
    names = list(contenders(subject.module(TOWERS[0]), "cuda"))
    assert names[0] == EAGER
    assert {precision_of(name) for name in names} == {"fp32", "fp16", "bf16"}
    assert len(names) == len(set(names)) == 7


def test_the_clock_runs_torch_and_engine_by_shape(
    rehearsal: Rehearsal, smallest: Scale, tmp_path: Path
) -> None:
    trial = {"engine": "ONNX Runtime CPU", "recipe": "tiny", "runs": True, "precision": "fp32"}
    found = {"engine": "ONNX Runtime CPU", "trials": [{**trial, "tower": tower} for tower in TOWERS]}
    recorder = rehearsal.recorder(tmp_path, engines=found)
    speed.measure(recorder, "tiny", smallest, rehearsal.work, [rehearsal.checkpoint], "cpu")
    rows = recorder.section["rows"]
    names = (EAGER, "torch autocast bf16", "ONNX Runtime CPU fp32")
    assert {(row["tower"], row["batch"], row["length"], row["contender"]) for row in rows} == {
        (tower, batch, length, name)
        for tower in TOWERS
        for batch in (1, 4)
        for length in (8, 16)
        for name in names
    }
    for row in rows:
        assert row["per_s"][1] <= row["per_s"][0] <= row["per_s"][2]
        assert row["p50_ms"] <= row["p99_ms"]
        assert row["to_floor"][0] > 0
        assert row["contender"] != EAGER or row["to_eager"] == [1.0, 1.0, 1.0]
    left_out = {entry["what"] for entry in recorder.section["not_run"]}
    assert left_out == {f"{tower} batch {batch} length 24" for tower in TOWERS for batch in (1, 4)}
    assert recorder.section["fed_from"] == {"ONNX Runtime CPU fp32": "device memory"}


def test_an_engine_that_no_longer_opens_is_left_out_of_the_race(
    rehearsal: Rehearsal, smallest: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise RuntimeError("no memory left")

    monkeypatch.setattr(engines, "cpu_session", broken)
    trial = {"engine": "ONNX Runtime CPU", "recipe": "tiny", "tower": TOWERS[0], "precision": "fp32"}
    recorder = rehearsal.recorder(tmp_path, engines={"engine": "ONNX Runtime CPU", "trials": [trial]})
    few = replace(smallest, lengths=(8,), batches=(1,), rounds=1)
    speed.measure(recorder, "tiny", few, rehearsal.work, [rehearsal.checkpoint], "cpu")
    assert {row["contender"] for row in recorder.section["rows"]} == {EAGER, "torch autocast bf16"}
    what = f"{TOWERS[0]} ONNX Runtime CPU fp32"
    assert recorder.section["not_run"] == [{"what": what, "cause": "RuntimeError: no memory left"}]
