"""What surrounds the builds of ``make tensorrt-check``; the builds are in test_tensorrt_builds.py."""

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from export.tensorrt.builder import BuildResult
from faults import InvalidInput
from releases.export_record import OptimisationProfile
from scripts import tensorrt_check
from scripts.tensorrt_check import (
    TOOL_VARIABLE,
    drawn_texts,
    environment,
    find_tool,
    main,
    network_of,
    report,
)

SETUP = 'mkdir -p "$1/bin" && touch "$1/bin/python" && echo made >> "$(dirname "$0")/../log"\n'


@pytest.fixture
def tool(tmp_path, monkeypatch):
    folder = tmp_path / "tool"
    folder.mkdir()
    (folder / "setup.sh").write_text(SETUP)
    monkeypatch.setenv(TOOL_VARIABLE, str(folder))
    monkeypatch.setattr(tensorrt_check, "ROOT", tmp_path)
    monkeypatch.setattr(tensorrt_check, "ENVIRONMENT", tmp_path / ".venv-tensorrt")
    return folder


def test_without_the_tool_the_check_says_why_and_succeeds(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(TOOL_VARIABLE, str(tmp_path / "nowhere"))
    assert find_tool()[0] is None
    assert main() == 0
    said = capsys.readouterr().out
    assert said.startswith("tensorrt-check skipped: ")
    assert str(tmp_path / "nowhere") in said
    assert TOOL_VARIABLE in said


def test_the_environment_is_made_once_and_again_when_the_tool_changes(tool, tmp_path):
    assert find_tool() == (tool, "")
    made = tmp_path / "log"
    for _ in range(2):
        assert environment(tool) == str(tmp_path / ".venv-tensorrt" / "bin" / "python")
    assert made.read_text() == "made\n"
    (tool / "check.py").write_text("another")
    environment(tool)
    assert made.read_text() == "made\nmade\n"


def test_an_environment_that_cannot_be_made_is_said_and_tried_again(tool):
    (tool / "setup.sh").write_text("echo no such package\nmkdir -p $1\nexit 3\n")
    for _ in range(2):
        with pytest.raises(SystemExit, match="no such package"):
            environment(tool)


def finished(outcome):
    future = Future()
    (future.set_exception if isinstance(outcome, Exception) else future.set_result)(outcome)
    return future


@pytest.mark.usefixtures("tool")
def test_a_refused_build_fails_the_check_and_is_named(monkeypatch, capsys):
    trial = SimpleNamespace(name="sample query_tower", profiles=(1, 2))
    built = BuildResult(Path("plan"), 4_200_000, "11.4.0.106", 323, {}, "new", (), 1.25)
    outcomes = [built, InvalidInput("TensorRT refuses it: MatMul 'left'")]
    builds = [(trial, precision, finished(x)) for precision, x in zip(("fp32", "fp8"), outcomes, strict=True)]
    monkeypatch.setattr(tensorrt_check, "all_builds", lambda *_: iter(builds))
    assert main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["sample", "query_tower", "fp32", "1.2", "4.2", "2", "323", "11.4.0.106"]
    assert "sample query_tower" in lines[2]
    assert "fp8" in lines[2]
    assert "MatMul 'left'" in lines[2]
    assert lines[3] == "1 of 2 refused"
    monkeypatch.setattr(tensorrt_check, "all_builds", lambda *_: iter(builds[:1]))
    assert main() == 0
    assert capsys.readouterr().out.endswith("all 1 built\n")


def test_a_bug_of_ours_is_not_taken_for_a_refusal():
    with pytest.raises(KeyError):
        report(SimpleNamespace(name="tower"), "fp32", finished(KeyError("ours")))


def test_drawn_texts_are_the_same_at_every_call_and_within_their_bounds():
    texts = drawn_texts(2, 6)
    assert texts == drawn_texts(2, 6)
    assert sum(texts.values()) == 500
    assert drawn_texts(8, 60) != texts


def graph_file(path: Path, weights: np.ndarray, operator: str = "MatMul") -> Path:
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [8, 8]) for name in "xy"]
    constant = onnx.numpy_helper.from_array(weights.astype(np.float32), "w")
    node = onnx.helper.make_node(operator, ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:], [constant])
    onnx.save(onnx.helper.make_model(graph), path)
    return path


def test_a_network_is_its_nodes_and_shapes_whatever_its_weights_are(tmp_path):
    profile = OptimisationProfile(batch=(1, 4, 8), length=(8, 8, 16))
    first = network_of(graph_file(tmp_path / "a.onnx", np.ones((8, 8))), (profile,))
    assert network_of(graph_file(tmp_path / "b.onnx", np.zeros((8, 8))), (profile,)) == first
    others = [
        network_of(graph_file(tmp_path / "c.onnx", np.ones((8, 8)), "Add"), (profile,)),
        network_of(graph_file(tmp_path / "d.onnx", np.ones((8, 16))), (profile,)),
        network_of(tmp_path / "a.onnx", ()),
    ]
    assert first not in others
    assert len(set(others)) == 3
