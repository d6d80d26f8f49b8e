"""DESIGN.md's floors: which package may import which. Read from the source, so that no import is missed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

GROUND = {"catalog", "releases", "evaluation", "runtime"}
MAY_IMPORT = {
    "faults": set(),
    **{room: {"faults"} for room in GROUND},
    "towers": {"faults", "catalog", "evaluation"},
    "export": {"faults", "towers", *GROUND},
    "retrieval_gateway": {
        "faults",
        "catalog",
        "releases",
        "runtime.triton_control",
        "runtime.triton_faults",
        "runtime.ports",
    },
    "indexing": {
        "faults",
        *GROUND,
        "retrieval_gateway.channels",
        "retrieval_gateway.encoding",
        "retrieval_gateway.index",
        "retrieval_gateway.loaded_release",
    },
    "benchmarks": {"faults", *GROUND, "towers", "export", "retrieval_gateway", "indexing"},
    "vitrine": {"faults", *GROUND, "towers", "export", "retrieval_gateway", "indexing"},
}
"""By package: what of ours it may import, a whole package or a part of one."""

HEAVY = {"matplotlib", "onnx", "onnxruntime", "onnxscript", "onnxslim", "safetensors"} | {
    "tensorboardX",
    "torch",
}
MAY_BE_HEAVY = {"towers", "export", "benchmarks"}
"""A serving image installs without these."""


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything a file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.relative_to(ROOT).parts
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module or "") if part)
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def allowed(name: str, room: str) -> bool:
    if name.split(".")[0] not in MAY_IMPORT or name.split(".")[0] == room:
        return True
    return any(name == part or name.startswith(f"{part}.") for part in MAY_IMPORT[room])


def our_packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}


def test_every_package_has_its_floor() -> None:
    assert our_packages() == set(MAY_IMPORT)
    assert all(modules(room) for room in MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_package_imports_only_what_its_floor_allows(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(room)
        for line, name in imports(path)
        if not allowed(name, room)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - MAY_BE_HEAVY))
def test_only_training_and_export_know_torch_and_onnx(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(room)
        for line, name in imports(path)
        if name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_there_is_no_circle() -> None:
    floors = {room: {part.split(".")[0] for part in parts} for room, parts in MAY_IMPORT.items()}
    while floors:
        free = {room for room, below in floors.items() if not below & floors.keys()}
        assert free, f"these import each other: {sorted(floors)}"
        floors = {room: below for room, below in floors.items() if room not in free}


def test_nothing_of_ours_imports_the_tests() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for room in MAY_IMPORT
        for path in modules(room)
        for _, name in imports(path)
        if name.split(".")[0] in ("tests", "support", "pytest", "conftest")
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["retrieval_gateway.server", "indexing.release_builder", "vitrine.search"])
def test_serving_loads_neither_torch_nor_onnx(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == []
