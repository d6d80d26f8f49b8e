"""Our side of a build: real processes, with a fake TensorRT in them."""

import onnx
import pytest
from onnx import TensorProto, helper
from support.tensorrt_python import FAKE, interpreter_with

from export.tensorrt.builder import (
    BuildSettings,
    build_plan,
    input_shapes,
    profile_shapes,
    timing_cache_path,
)
from faults import InvalidInput, NotFound, StorageFailed, Unavailable
from releases.export_record import OptimisationProfile

PROFILE = OptimisationProfile(batch=(1, 4, 8), length=(8, 16, 24))


def write_graph(path, name="graph", batch="batch"):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["same"]), helper.make_node("Neg", ["ids"], ["less"])],
        name,
        [
            info("ids", TensorProto.INT64, [batch, "length"]),
            info("pixels", TensorProto.UINT8, [batch, 2, 16, 16, 3]),
        ],
        [info("same", TensorProto.UINT8, None), info("less", TensorProto.INT64, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


@pytest.fixture
def onnx_file(tmp_path):
    return write_graph(tmp_path / "tower.onnx")


@pytest.fixture(scope="session")
def fake_python(tmp_path_factory):
    return interpreter_with(tmp_path_factory.mktemp("fake-python") / "bin")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_profile_gives_every_input_its_shapes(onnx_file):
    shapes = profile_shapes(input_shapes(onnx_file), PROFILE)
    assert shapes == {
        "ids": {"min": [1, 8], "opt": [4, 16], "max": [8, 24]},
        "pixels": {"min": [1, 2, 16, 16, 3], "opt": [4, 2, 16, 16, 3], "max": [8, 2, 16, 16, 3]},
    }


def test_an_axis_that_no_profile_knows_is_refused(tmp_path):
    inputs = input_shapes(write_graph(tmp_path / "odd.onnx", batch="rows"))
    with pytest.raises(InvalidInput, match=r"ids: an axis that no profile knows .*'rows'.*'batch'"):
        profile_shapes(inputs, PROFILE)


@pytest.mark.parametrize("content", [None, b"\xff\xff not a model"])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "tower.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match="not an ONNX file"):
        input_shapes(path)


def test_plan_and_timing_cache_are_written_and_the_cache_is_used_again(onnx_file, out, fake_python):
    settings = BuildSettings(fake_python, timing_caches=out / "timings", compute_capability="9.0")
    first = build_plan(onnx_file, out / "model.plan", [PROFILE], settings)
    assert (out / "model.plan").read_bytes() == b"plan for 1 profiles"
    assert first.plan_bytes == len(b"plan for 1 profiles")
    assert first.tensorrt_version == "11.4.0.106"
    assert first.timing_cache == "new"
    assert first.flags["tf32"] is False
    cache = out / "timings" / "cc90-tensorrt-11.4.0.106.timings"
    assert cache.read_bytes() == b"+"
    second = build_plan(onnx_file, out / "model.plan", [PROFILE, PROFILE], settings)
    assert second.timing_cache == "reused"
    assert cache.read_bytes() == b"++"
    assert (out / "model.plan").read_bytes() == b"plan for 2 profiles"
    assert sorted(path.name for path in out.iterdir()) == ["model.plan", "timings"]


def test_each_gpu_and_each_tensorrt_has_timings_of_its_own(tmp_path):
    def path(capability, version):
        settings = BuildSettings("python", timing_caches=tmp_path, compute_capability=capability)
        return timing_cache_path(settings, version)

    assert len({path("9.0", "11.4.0"), path("8.6", "11.4.0"), path("9.0", "10.1.0"), path("", "11.4.0")}) == 4
    assert timing_cache_path(BuildSettings("python"), "11.4.0") is None


def test_a_refused_graph_names_every_node_and_leaves_the_old_plan(tmp_path, out, fake_python):
    graph = write_graph(tmp_path / "tower.onnx", name="refuse:left,right")
    (out / "model.plan").write_bytes(b"older")
    with pytest.raises(InvalidInput) as refused:
        build_plan(graph, out / "model.plan", [PROFILE], BuildSettings(fake_python))
    text = str(refused.value)
    assert "tower.onnx: TensorRT 11.4.0.106 refuses it (parse)" in text
    assert "MatMul 'left': must have same input types" in text
    assert "MatMul 'right'" in text
    assert "another precision" in text
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("model.plan", b"older")]


def test_many_errors_are_counted_and_not_all_shown(tmp_path, out, fake_python):
    graph = write_graph(tmp_path / "tower.onnx", name="refuse:a,b,c,d,e,f,g")
    with pytest.raises(InvalidInput, match=r"'e'.*and 2 more"):
        build_plan(graph, out / "model.plan", [PROFILE], BuildSettings(fake_python))


def test_no_profile_at_all_is_refused_by_the_builder(onnx_file, out, fake_python):
    with pytest.raises(InvalidInput, match=r"\(build\): no optimization profile has been defined"):
        build_plan(onnx_file, out / "model.plan", [], BuildSettings(fake_python))


CRASH = """
import os, signal
def crash(*arguments):
    os.write(2, b"assertion in optimizer.cpp")
    os.kill(os.getpid(), signal.SIGSEGV)
Builder.build_serialized_network = crash
"""
HANG = """
import time
Builder.build_serialized_network = lambda *arguments: time.sleep(600)
"""


@pytest.mark.parametrize(
    ("more", "timeout_s", "words"),
    [
        (CRASH, 60.0, ["ended by signal 11", "assertion in optimizer.cpp", "image"]),
        (HANG, 2.0, ["ended after 2 s", "optimization level"]),
    ],
    ids=["crash", "hang"],
)
def test_a_crash_or_a_hang_of_the_builder_is_a_fault_and_leaves_nothing(
    onnx_file, out, tmp_path, more, timeout_s, words
):
    python = interpreter_with(tmp_path / "bin", FAKE + more)
    settings = BuildSettings(python, timing_caches=out / "timings", timeout_s=timeout_s)
    with pytest.raises(Unavailable) as refused:
        build_plan(onnx_file, out / "model.plan", [PROFILE], settings)
    assert [word for word in words if word not in str(refused.value)] == []
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_storage_fault(onnx_file, tmp_path, fake_python):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageFailed, match="no plan was written"):
        build_plan(onnx_file, tmp_path / "file" / "model.plan", [PROFILE], BuildSettings(fake_python))


def test_without_tensorrt_nothing_is_built(onnx_file, out, tmp_path):
    python = interpreter_with(tmp_path / "bin", "raise ModuleNotFoundError('no tensorrt')")
    with pytest.raises(NotFound, match=r"vitrine\[tensorrt\]"):
        build_plan(onnx_file, out / "model.plan", [PROFILE], BuildSettings(python))
    assert list(out.iterdir()) == []
