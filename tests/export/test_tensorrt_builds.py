"""A tier of its own: the real parser and builder on every tower in every precision, and on what they refuse.

It needs a tool that is no part of the project (scripts/tensorrt_check.py says which), else it is skipped.
"""

import inspect
import json
import subprocess
import tempfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support import fake_tensorrt
from support.fake_tensorrt import fake_tensorrt as fake_module

from export.targets import PRECISIONS
from export.tensorrt.builder import BuildSettings, build_plan
from export.tensorrt.installation import ask, require_tensorrt
from export.tensorrt.machine import Machine
from export.tensorrt.plans import check_files, check_machine, describe_plan
from faults import InvalidInput, Mismatch
from releases.export_record import OptimisationProfile
from scripts import tensorrt_check
from towers.recipe import recipe_names

pytestmark = pytest.mark.tensorrt

PROFILE = OptimisationProfile(batch=(1, 4, 8), length=(8, 8, 16))
ONLY_IN_10 = {"NetworkDefinitionCreationFlag.EXPLICIT_BATCH", "BuilderFlag.FP16", "BuilderFlag.INT8"}
"""Gone from 11 by NVIDIA's list of removed names ("Removed Python APIs and Replacements")."""


@pytest.fixture(scope="session")
def python():
    tool, reason = tensorrt_check.find_tool()
    if tool is None:
        pytest.skip(reason)
    return tensorrt_check.environment(tool)


@pytest.fixture(scope="session")
def builds(python):
    """Every build, done or failed, by recipe, tower and precision: what ``make tensorrt-check`` prints."""
    # Not pytest's folder, which outlives the session: graphs and plans are large.
    with tempfile.TemporaryDirectory(prefix="vitrine-tensorrt-") as folder:
        every = tensorrt_check.all_builds(python, Path(folder))
        return {(trial.recipe, trial.graph.name, precision): build for trial, precision, build in every}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
@pytest.mark.parametrize("recipe", recipe_names())
def test_every_tower_builds_in_every_precision(builds, python, recipe, tower, precision):
    result = builds[recipe, tower, precision].result()
    assert result.layers > 0
    assert result.tensorrt_version == require_tensorrt(python)
    assert result.plan_bytes > 0


def write_graph(path: Path, nodes, second=TensorProto.FLOAT):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [info("x", TensorProto.FLOAT, ["batch", "length"]), info("y", second, ["batch", "length"])],
        [info("z", TensorProto.FLOAT, ["batch", "length"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.save(model, path)
    return path


ADD = (helper.make_node("Add", ["x", "y"], ["z"], name="the_sum"),)


def test_half_and_single_precision_in_one_operator_are_refused_by_name(python, tmp_path):
    graph = write_graph(tmp_path / "mixed.onnx", ADD, second=TensorProto.FLOAT16)
    with pytest.raises(InvalidInput) as refused:
        build_plan(graph, tmp_path / "plan", [PROFILE], BuildSettings(python))
    text = str(refused.value)
    assert "refuses it (parse)" in text
    assert "Add 'the_sum'" in text
    assert "Float and Half" in text
    assert not (tmp_path / "plan").exists()


def test_an_operator_that_tensorrt_lacks_is_refused_by_name(python, tmp_path):
    odd = helper.make_node("NoSuchOperator", ["x", "y"], ["z"], name="the_odd_one")
    graph = write_graph(tmp_path / "odd.onnx", [odd])
    with pytest.raises(InvalidInput, match="NoSuchOperator 'the_odd_one'"):
        build_plan(graph, tmp_path / "plan", [PROFILE], BuildSettings(python))


def test_a_missing_profile_is_refused(python, tmp_path):
    graph = write_graph(tmp_path / "tower.onnx", ADD)
    with pytest.raises(InvalidInput, match="no optimization profile has been defined"):
        build_plan(graph, tmp_path / "plan", [], BuildSettings(python))


@pytest.mark.parametrize(
    ("bounds", "stage"),
    [
        ({"min": [4, 8], "opt": [2, 8], "max": [8, 8]}, "profile"),
        ({"min": [4], "opt": [4, 8], "max": [8, 8]}, "profile"),
        ({"min": [1, 8, 1], "opt": [4, 8, 1], "max": [8, 8, 1]}, "build"),
    ],
)
def test_a_bad_profile_is_refused_although_a_good_one_comes_first(python, tmp_path, bounds, stage):
    """Past our own checks, to see that the builder's are not overlooked."""
    good = {"min": [1, 8], "opt": [4, 8], "max": [8, 8]}
    answer = ask(
        python,
        {
            "onnx": str(write_graph(tmp_path / "tower.onnx", ADD)),
            "plan": str(tmp_path / "plan"),
            "timing_cache_in": None,
            "timing_cache_out": None,
            "profiles": [{"x": good, "y": good}, {"x": bounds, "y": bounds}],
            "tf32": False,
            "workspace_bytes": None,
            "optimization_level": None,
        },
        60.0,
    )
    assert answer["ok"] is False
    assert answer["stage"] == stage
    assert not (tmp_path / "plan").exists()


def test_all_settings_are_taken_and_reported(python, tmp_path):
    graph = write_graph(tmp_path / "tower.onnx", ADD)
    settings = BuildSettings(python, tf32=True, workspace_bytes=1 << 28, optimization_level=1)
    result = build_plan(graph, tmp_path / "plan", [PROFILE], settings)
    assert result.flags == {
        "strongly_typed": True,
        "tf32": True,
        "workspace_bytes": 1 << 28,
        "optimization_level": 1,
    }


def test_the_timing_cache_of_one_build_does_not_hinder_the_next(python, tmp_path):
    """A cache carries its GPU's properties: without a GPU TensorRT says that it takes none, and goes on."""
    graph = write_graph(tmp_path / "tower.onnx", ADD)
    settings = BuildSettings(python, timing_caches=tmp_path / "timings")
    first = build_plan(graph, tmp_path / "plan", [PROFILE], settings)
    (cache,) = (tmp_path / "timings").iterdir()
    assert first.timing_cache == "new"
    assert cache.stat().st_size > 0
    second = build_plan(graph, tmp_path / "plan", [PROFILE], settings)
    assert second.timing_cache == "refused"
    cache.write_bytes(b"no cache at all")
    assert build_plan(graph, tmp_path / "plan", [PROFILE], settings).timing_cache == "refused"
    assert cache.read_bytes() != b"no cache at all"


def test_a_torn_plan_another_graph_and_another_tensorrt_are_refused(python, tmp_path):
    graph, plan = write_graph(tmp_path / "tower.onnx", ADD), tmp_path / "plan"
    result = build_plan(graph, plan, [PROFILE], BuildSettings(python))
    manifest = describe_plan(
        result,
        graph,
        (PROFILE,),
        Machine("9.0", "a GPU"),
        model="query_tower",
        precision="fp32",
        command="pytest",
    )
    check_files(manifest, plan, graph)
    check_machine(manifest, "9.0", require_tensorrt(python))
    with pytest.raises(Mismatch, match="TensorRT version"):
        check_machine(manifest, "9.0", "10.0.0.1")
    write_graph(graph, [helper.make_node("Mul", ["x", "y"], ["z"])])
    with pytest.raises(Mismatch, match="onnx_sha256"):
        check_files(manifest, plan, graph)
    plan.write_bytes(plan.read_bytes()[:-1])
    with pytest.raises(Mismatch, match="plan_sha256"):
        check_files(manifest, plan)


def names_of_the_fake() -> list[str]:
    """Every class of the fake with its public names, every enum with its members; of both generations."""
    names = set()
    for version in ("10.16.1.11", "11.4.0.106"):
        for name, value in vars(fake_module(version)).items():
            if isinstance(value, type) and hasattr(value, "__members__"):
                names |= {f"{name}.{member}" for member in value.__members__}
            else:
                names.add(name)
    for name, value in inspect.getmembers(fake_tensorrt, inspect.isclass):
        if value.__module__ == fake_tensorrt.__name__:
            own = {part for part in vars(value) if not part.startswith("_")}
            names |= {name, *(f"{name}.{part}" for part in own - {"made", "tensors"})}
    return sorted(names - ONLY_IN_10)


def test_the_fake_has_no_name_that_the_real_module_lacks(python):
    program = """
import json, sys, functools, tensorrt
def there(name):
    try:
        return functools.reduce(getattr, name.split("."), tensorrt) is not None
    except AttributeError:
        return False
print(json.dumps([name for name in json.load(sys.stdin) if not there(name)]))
"""
    names = names_of_the_fake()
    assert {"Builder.build_serialized_network", "IExecutionContext.execute_async_v3"} < set(names)
    done = subprocess.run(
        [python, "-c", program],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == []
