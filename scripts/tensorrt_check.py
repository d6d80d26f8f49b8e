"""Builds every tower in every precision through TensorRT's real parser and builder, without a GPU.

``make tensorrt-check`` runs it, and ``tests/export/test_tensorrt_builds.py`` builds the same trials as a
tier of ``make test``. It needs a tool that is no part of this project: a folder whose ``setup.sh VENV`` makes
an environment with a TensorRT that builds and cannot run. ``TENSORRT_TOOL`` names it; where it is absent,
nothing is checked.

Weights are fresh: what TensorRT accepts depends on the graph and its types, not on what was learned.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch

from catalog.logs import read_query_log
from catalog.readers import read_catalogue
from export.gate.engine import Feed
from export.gate.samples import feed_of, samples
from export.onnx_export import TowerGraph, export_onnx, tower_graphs
from export.precision import convert
from export.profiles import STEP, optimisation_profiles, token_lengths
from export.targets import PRECISIONS, Precision
from export.tensorrt.builder import BuildResult, BuildSettings, build_plan
from export.triton_config import MAX_BATCH_SIZE
from faults import VitrineError
from releases.export_record import OptimisationProfile
from releases.files import file_lock
from towers.build import build_towers
from towers.checkpoint import Checkpoint, Provenance
from towers.recipe import load_recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-tensorrt"
TOOL_VARIABLE = "TENSORRT_TOOL"

_DATA = ROOT.parent / "shared" / "data"
_ORDINARY_TEXTS = 16
_CALIBRATION_ROWS = 8
_WEIGHTS = 64
"""Numbers that make a constant a weight; shapes and axes are smaller and belong to the network."""
_SETUP_TIMEOUT_S = 900.0
_BUILD_TIMEOUT_S = 240.0
_LINE = "{:<26}{:<11}{:>8}{:>11}{:>9}{:>8}  {}\n"


@dataclass(frozen=True)
class Trial:
    """One tower of one recipe, exported and ready to be built.

    Args:
        recipe: its name.
        graph: the tower.
        onnx_file: in fp32.
        profiles: from a length histogram.
        calibration: batches for quantisation.
    """

    recipe: str
    graph: TowerGraph
    onnx_file: Path
    profiles: tuple[OptimisationProfile, ...]
    calibration: tuple[Feed, ...]

    @property
    def name(self) -> str:
        """Recipe and tower."""
        return f"{self.recipe} {self.graph.name}"

    def build(self, precision: Precision, python: str) -> BuildResult:
        """Converts the graph, builds its plan and removes both again; raises what either of them does."""
        folder = self.onnx_file.parent
        converted = folder / f"{self.recipe}-{self.graph.name}.{precision}.onnx"
        convert(self.onnx_file, precision, converted, self.calibration)
        settings = BuildSettings(python, timing_caches=folder / "timings", timeout_s=_BUILD_TIMEOUT_S)
        result = build_plan(converted, converted.with_suffix(".plan"), self.profiles, settings)
        converted.unlink()
        result.plan.unlink()
        return result


def find_tool() -> tuple[Path | None, str]:
    """Returns the tool's folder, or none and the reason."""
    tool = Path(os.environ.get(TOOL_VARIABLE) or ROOT.parent / "shared" / "tools" / "tensorrt_on_cpu")
    if (tool / "setup.sh").is_file():
        return tool.resolve(), ""
    return None, f"no setup.sh in {tool}; {TOOL_VARIABLE} names the folder of the tool"


def environment(tool: Path) -> str:
    """Returns the interpreter of the tool's environment, which is made anew when the tool has changed.

    Raises:
        SystemExit: setting it up failed; its last words are the message.
    """
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(path for path in tool.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    stamp, python = ENVIRONMENT / ".made-from", ENVIRONMENT / "bin" / "python"
    (ROOT / "var").mkdir(exist_ok=True)
    with file_lock(ROOT / "var" / "tensorrt-check.lock", _SETUP_TIMEOUT_S):
        if stamp.is_file() and stamp.read_text() == digest.hexdigest():
            return str(python)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        # The tool takes `python3` from the path: let it be the project's.
        search_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", str(tool / "setup.sh"), str(ENVIRONMENT)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SETUP_TIMEOUT_S,
            env={**os.environ, "PATH": search_path},
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{tool}/setup.sh failed:\n{done.stdout[-2000:]}")
        stamp.write_text(digest.hexdigest())
    return str(python)


def trials(recipe_name: str, folder: Path) -> Iterator[Trial]:
    """Exports both towers of a recipe, with fresh weights, into ``folder``."""
    recipe, texts = load_recipe(recipe_name), texts_by_tower()
    torch.manual_seed(0)
    towers = build_towers(recipe, [*texts["query_tower"], *texts["product_tower"]])
    towers.train(False)
    checkpoint = Checkpoint(towers, recipe, Provenance("tensorrt-check", "0" * 64, "fresh weights", 0, 0))
    for graph in tower_graphs(checkpoint):
        onnx_file = folder / f"{recipe_name}-{graph.name}.onnx"
        export_onnx(graph, onnx_file)
        most, asked = graph.limits["max_tokens"], texts[graph.name]
        lengths = token_lengths(towers.tokenizer, asked, most)
        rows = samples(towers.tokenizer, recipe, most, list(asked)[:_ORDINARY_TEXTS])
        yield Trial(
            recipe_name,
            graph,
            onnx_file,
            optimisation_profiles(lengths, most, MAX_BATCH_SIZE[graph.name], positions=most),
            tuple(
                feed_of(rows[start : start + _CALIBRATION_ROWS], graph.inputs, recipe.image.views, STEP)
                for start in range(0, len(rows), _CALIBRATION_ROWS)
            ),
        )


def all_builds(python: str, folder: Path) -> Iterator[tuple[Trial, Precision, Future[BuildResult]]]:
    """Exports every tower and builds it in every precision, the next export while the last one is built.

    Towers of several recipes may be one network (the query towers of equal sizes): what TensorRT accepts
    depends on the network alone, so such a one is built once and the result is theirs.

    Args:
        python: an interpreter with TensorRT.
        folder: for graphs and plans.
    """
    with ThreadPoolExecutor(max_workers=1) as builder:
        builds: dict[tuple[str, Precision], Future[BuildResult]] = {}
        for recipe in recipe_names():
            for trial in trials(recipe, folder):
                network = network_of(trial.onnx_file, trial.profiles)
                for precision in PRECISIONS:
                    if (network, precision) not in builds:
                        builds[network, precision] = builder.submit(trial.build, precision, python)
                    yield trial, precision, builds[network, precision]


def network_of(onnx_file: Path, profiles: Sequence[OptimisationProfile]) -> str:
    """Returns a hash of all that is built but the weights' values: nodes, types, shapes, profiles."""
    model = onnx.load(onnx_file)
    for weight in model.graph.initializer:
        if len(weight.dims) > 0 and math.prod(weight.dims) >= _WEIGHTS:
            weight.ClearField("raw_data")
    del model.metadata_props[:]
    return hashlib.sha256(model.SerializeToString(deterministic=True) + repr(profiles).encode()).hexdigest()


def texts_by_tower() -> Mapping[str, Mapping[str, int]]:
    """Returns how often each text occurs, by tower: real ones where they lie, else drawn ones."""
    log, shop = _DATA / "queries" / "wands_queries.csv", _DATA / "catalog"
    return {
        "query_tower": read_query_log(log) if log.is_file() else drawn_texts(2, 6),
        "product_tower": Counter(product.indexed_text() for product in read_catalogue(shop).products)
        if shop.is_dir()
        else drawn_texts(8, 60),
    }


def drawn_texts(fewest: int, most: int) -> Counter[str]:
    """Returns texts of ``fewest`` to ``most`` words, the same at every call; short ones are more frequent."""
    source = random.Random(0)
    words = (
        "red",
        "green",
        "striped",
        "mug",
        "lamp",
        "chair",
        "of oak",
        "for two",
        "men's",
        "10.5",
        "Ystad & co",
    )
    sizes = [min(source.randint(fewest, most), source.randint(fewest, most)) for _ in range(500)]
    return Counter(" ".join(source.choices(words, k=size)) for size in sizes)


def main() -> int:
    """Builds everything, prints a line each, and returns 1 where TensorRT refused something.

    With ``--prepare`` it makes the environment and nothing else.
    """
    tool, reason = find_tool()
    if tool is None:
        sys.stdout.write(f"tensorrt-check skipped: {reason}\n")
        return 0
    python = environment(tool)
    if "--prepare" in sys.argv[1:]:
        return 0
    sys.stdout.write(
        _LINE.format("tower", "precision", "seconds", "plan MB", "profiles", "layers", "TensorRT")
    )
    waiting, good = deque[tuple[Trial, Precision, Future[BuildResult]]](), []
    with tempfile.TemporaryDirectory(prefix="vitrine-tensorrt-") as folder:
        for build in all_builds(python, Path(folder)):
            waiting.append(build)
            while waiting and waiting[0][2].done():
                good.append(report(*waiting.popleft()))
        good += [report(*build) for build in waiting]
    failed = good.count(False)
    sys.stdout.write(f"{failed} of {len(good)} refused\n" if failed else f"all {len(good)} built\n")
    return 1 if failed else 0


def report(trial: Trial, precision: Precision, build: Future[BuildResult]) -> bool:
    """Prints the line of one build; returns whether there is a plan."""
    try:
        built = build.result()
    except VitrineError as error:
        sys.stdout.write(f"{trial.name:<26}{precision:<11}FAILED: {error}\n")
        return False
    size = f"{built.plan_bytes / 1e6:.1f}"
    cells = (f"{built.seconds:.1f}", size, len(trial.profiles), built.layers, built.tensorrt_version)
    sys.stdout.write(_LINE.format(trial.name, precision, *cells))
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    raise SystemExit(main())
