"""What gpu-check imports must be on the GPU machine, which cannot fetch anything, or be carried there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import benchmarks.gpu_check

FOLDER = Path(benchmarks.gpu_check.__file__).parent
ROOT = FOLDER.parent.parent

PROGRAM = """
import importlib, json, pathlib, sys
from importlib.metadata import packages_distributions
for path in sorted(pathlib.Path("benchmarks/gpu_check").glob("*.py")):
    importlib.import_module(f"benchmarks.gpu_check.{path.stem}")
import export.precision
owners = packages_distributions()
tops = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(json.dumps(sorted({owner for top in tops for owner in owners.get(top, [])})))
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wheels(name: str) -> dict[str, str]:
    lines = (FOLDER / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(package): version for package, version in pairs}


def already_there() -> set[str]:
    """The packages that the head of wheels.txt takes for granted, with what they install themselves."""
    comments = " ".join(
        line[2:] for line in (FOLDER / "wheels.txt").read_text().splitlines() if line[0] == "#"
    )
    named = re.search(r"beyond (.+?): for a GPU machine", comments)
    assert named
    direct = {normal(name) for name in re.split(r",\s*|\s+and\s+", named[1])}
    return direct | {"mpmath", "tqdm", "flatbuffers", "protobuf", "onnx-ir", "googleapis-common-protos"}


def test_every_import_is_there_or_carried() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    imported = {normal(name) for name in json.loads(done.stdout)} - {"vitrine"}
    assert imported - already_there() - set(wheels("wheels.txt")) == set()


def test_carried_versions_are_the_locked_ones() -> None:
    lock = "\n".join(path.read_text() for path in sorted((ROOT / "locks").glob("*.txt")))
    locked = {normal(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;\\\\]+)", lock, re.M)}
    assert {name: locked.get(name) for name in wheels("wheels.txt")} == wheels("wheels.txt")


def test_large_packages_are_pinned_once() -> None:
    large = wheels("wheels-large.txt")
    assert {"faiss-gpu-cuvs", "onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-gpu"} <= set(large)
    assert not set(large) & set(wheels("wheels.txt"))
