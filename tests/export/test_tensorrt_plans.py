import hashlib

import pytest

from export.tensorrt.builder import BuildResult
from export.tensorrt.machine import Machine
from export.tensorrt.plans import check_files, check_machine, describe_plan
from faults import Mismatch, NotFound
from releases.engine_manifest import plan_name
from releases.export_record import OptimisationProfile

PROFILES = (OptimisationProfile(batch=(1, 4, 8), length=(8, 8, 16)),)
COMMAND = "vitrine export var/mine --target tensorrt --precision fp16"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / plan_name("9.0")).write_bytes(b"plan")
    return tmp_path


@pytest.fixture
def manifest(folder):
    result = BuildResult(folder / plan_name("9.0"), 4, "11.2.1.2", 7, {"tf32": False}, "new", (), 1.0)
    return describe_plan(
        result,
        folder / "model.onnx",
        PROFILES,
        Machine("9.0", "NVIDIA H200"),
        model="query_tower",
        precision="fp16",
        command=COMMAND,
    )


def test_the_manifest_describes_the_plan_and_its_graph(manifest):
    assert manifest.onnx_sha256 == hashlib.sha256(b"graph").hexdigest()
    assert manifest.plan_sha256 == hashlib.sha256(b"plan").hexdigest()
    assert manifest.flags == {"tf32": False}
    assert (manifest.compute_capability, manifest.gpu) == ("9.0", "NVIDIA H200")
    assert manifest.tensorrt_version == "11.2.1.2"


def test_a_plan_that_fits_is_accepted(folder, manifest):
    check_machine(manifest, "9.0", "11.2.1.2")
    check_files(manifest, folder / plan_name("9.0"), folder / "model.onnx")


@pytest.mark.parametrize(
    ("capability", "version", "values"),
    [
        ("8.6", "11.2.1.2", ["compute capability", "expected '9.0', found '8.6'", "NVIDIA H200"]),
        (None, "11.2.1.2", ["expected '9.0', found 'no GPU'"]),
        ("9.0", "11.2.1.3", ["TensorRT version", "expected '11.2.1.2', found '11.2.1.3'"]),
    ],
)
def test_another_machine_is_refused_with_both_values_and_the_fix(manifest, capability, version, values):
    with pytest.raises(Mismatch) as refused:
        check_machine(manifest, capability, version)
    assert [value for value in [*values, COMMAND] if value not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("file", "named"), [("model.onnx", "onnx_sha256"), (plan_name("9.0"), "plan_sha256")]
)
def test_a_torn_plan_or_another_graph_is_refused(folder, manifest, file, named):
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    with pytest.raises(Mismatch, match=named) as refused:
        check_files(manifest, folder / plan_name("9.0"), folder / "model.onnx")
    assert refused.value.expected == getattr(manifest, named)
    assert refused.value.found == hashlib.sha256((folder / file).read_bytes()).hexdigest()


def test_a_missing_plan_is_refused_with_the_command_that_builds_it(folder, manifest):
    (folder / plan_name("9.0")).unlink()
    with pytest.raises(NotFound, match=COMMAND):
        check_files(manifest, folder / plan_name("9.0"))
