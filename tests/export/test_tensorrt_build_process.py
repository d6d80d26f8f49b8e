"""The builder's process against both generations of TensorRT's API, and as a process."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_tensorrt import Builder, fake_tensorrt

from export.tensorrt import build_process
from export.tensorrt.build_process import RefusedError
from export.tensorrt.installation import BUILD_PROCESS

GENERATIONS = ("10.0.1.6", "10.16.1.11", "11.4.0.106")
PROFILE = {"input_ids": {"min": [1, 8], "opt": [4, 8], "max": [8, 16]}}


@pytest.fixture
def job(tmp_path):
    (tmp_path / "graph").write_text("a graph")
    return {
        "onnx": str(tmp_path / "graph"),
        "plan": str(tmp_path / "plan"),
        "timing_cache_in": str(tmp_path / "kept"),
        "timing_cache_out": str(tmp_path / "timings"),
        "profiles": [PROFILE, PROFILE],
        "tf32": False,
        "workspace_bytes": None,
        "optimization_level": None,
    }


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_plan_is_built_and_described(job, version):
    result = build_process.build(fake_tensorrt(version), job)
    assert Path(job["plan"]).read_bytes() == b"plan for 2 profiles"
    assert result["tensorrt_version"] == version
    assert result["layers"] == 7
    assert result["flags"] == {
        "strongly_typed": True,
        "tf32": False,
        "workspace_bytes": None,
        "optimization_level": 3,
    }
    json.dumps(result)


@pytest.mark.parametrize(("version", "bit"), [("10.0.1.6", 1 << 1), ("11.4.0.106", 1 << 0)])
def test_networks_are_strongly_typed_by_the_flags_name_and_not_its_number(job, version, bit):
    build_process.build(fake_tensorrt(version), job)
    assert Builder.made[0].creation_flags == bit


def test_where_the_flag_is_gone_networks_are_strongly_typed_without_it():
    class Flags:
        PREFER_AOT_PYTHON_PLUGINS = 0

    assert build_process.network_flags(fake_tensorrt("12.0.0.1", NetworkDefinitionCreationFlag=Flags)) == 0


def test_a_tensorrt_before_10_is_refused():
    with pytest.raises(RefusedError) as refused:
        build_process.network_flags(fake_tensorrt("8.6.1"))
    assert refused.value.stage == "version"
    assert "8.6.1" in refused.value.errors[0]["text"]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_off_unless_asked_for(job, version, tf32):
    build_process.build(fake_tensorrt(version), {**job, "tf32": tf32})
    assert Builder.made[1].flags_cleared == ([] if tf32 else ["TF32"])


def test_a_tensorrt_without_tf32_has_nothing_to_clear(job):
    class Flags:
        REFIT = 0

    build_process.build(fake_tensorrt(BuilderFlag=Flags), job)
    assert Builder.made[1].flags_cleared == []


def test_workspace_and_optimization_level_are_set_where_given(job):
    result = build_process.build(
        fake_tensorrt(), {**job, "workspace_bytes": 1 << 20, "optimization_level": 5}
    )
    config = Builder.made[1]
    assert config.limits == {"WORKSPACE": 1 << 20}
    assert config.builder_optimization_level == 5
    assert result["flags"]["optimization_level"] == 5
    assert result["flags"]["workspace_bytes"] == 1 << 20


def test_every_parser_error_is_returned_with_its_node(job):
    Path(job["onnx"]).write_text("refuse:first,second")
    with pytest.raises(RefusedError) as refused:
        build_process.build(fake_tensorrt(), job)
    assert refused.value.stage == "parse"
    assert [error["node"] for error in refused.value.errors] == ["first", "second"]
    assert refused.value.errors[0]["operator"] == "MatMul"
    assert "same input types" in refused.value.errors[0]["text"]
    assert not Path(job["plan"]).exists()


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"min": [4, 8], "opt": [2, 8], "max": [8, 8]}, "MIN<=OPT<=MAX"),
        ({"min": [4], "opt": [2, 8], "max": [8, 8]}, "same rank"),
    ],
)
def test_an_invalid_profile_is_refused_although_another_is_valid(job, bounds, reason):
    with pytest.raises(RefusedError) as refused:
        build_process.build(fake_tensorrt(), {**job, "profiles": [PROFILE, {"input_ids": bounds}]})
    assert refused.value.stage == "profile"
    assert "profile 1" in refused.value.errors[0]["text"]
    assert reason in refused.value.errors[1]["text"]


def test_a_refused_build_gives_the_loggers_reasons(job):
    with pytest.raises(RefusedError) as refused:
        build_process.build(fake_tensorrt(), {**job, "profiles": []})
    assert refused.value.stage == "build"
    assert refused.value.errors == [{"text": "no optimization profile has been defined"}]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("kept", "state", "written"),
    [
        (None, "new", b"+"),
        (b"earlier", "reused", b"earlier+"),
        (b"other gpu", "refused", b"+"),
        (b"garbage", "refused", b"+"),
    ],
)
def test_the_timing_cache_is_kept_and_an_unfit_one_replaced(job, version, kept, state, written):
    if kept is not None:
        Path(job["timing_cache_in"]).write_bytes(kept)
    result = build_process.build(fake_tensorrt(version), job)
    assert result["timing_cache"] == state
    assert Path(job["timing_cache_out"]).read_bytes() == written


def test_without_a_timing_cache_none_is_written(job, tmp_path):
    build_process.build(fake_tensorrt(), {**job, "timing_cache_in": None, "timing_cache_out": None})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "plan"]


def test_the_process_imports_the_standard_library_and_tensorrt_alone():
    tree = ast.parse(BUILD_PROCESS.read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in found} <= sys.stdlib_module_names
    assert 'import_module("tensorrt")' in BUILD_PROCESS.read_text(encoding="utf-8")


def ask(job, folder, module):
    """Runs the process with a ``tensorrt`` of the given source text on its path."""
    if module is not None:
        (folder / "tensorrt.py").write_text(module)
    done = subprocess.run(
        [sys.executable, str(BUILD_PROCESS)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
    )
    return json.loads(done.stdout)


def test_the_answer_stands_alone_whatever_the_library_prints(tmp_path):
    chatty = "import os\nprint('[TRT] hello')\nos.system('echo from C')\n__version__ = '10.13.3.9'\n"
    with_flags = chatty + "class NetworkDefinitionCreationFlag:\n    STRONGLY_TYPED = 1\n"
    assert ask({}, tmp_path, with_flags) == {"ok": True, "tensorrt_version": "10.13.3.9"}


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (None, "No module named 'tensorrt'"),
        ("raise ImportError('libnvinfer.so.11: cannot open shared object file')", "libnvinfer.so.11"),
    ],
)
def test_a_missing_or_broken_installation_is_an_answer_with_its_reason(tmp_path, module, reason):
    answer = ask({}, tmp_path, module)
    assert answer["ok"] is False
    assert answer["stage"] == "import"
    assert reason in answer["errors"][0]["text"]
