"""The part ``engines``: goes down the ladder, and puts each engine that runs through the export gate.

A rung is tried in a process of its own: a provider that does not know this GPU may die
instead of raising, and what comes after it must still be tried.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.clock import cause, four_digits
from benchmarks.gpu_check.exporting import graph_file, graph_of
from benchmarks.gpu_check.ladder import Rung, rung_named, rungs
from benchmarks.gpu_check.parts import Recorder, part_of
from benchmarks.gpu_check.scale import SCALES, Scale
from benchmarks.gpu_check.subjects import TEXTS, TOWERS, Subject, make_subject
from export.gate.numbers import Candidate, Shapes, check_numbers
from export.gate.samples import samples
from export.gate.thresholds import GateSettings
from export.targets import PRECISIONS, Precision
from faults import GateFailed

Trial = dict[str, Any]
"""One engine of one tower in one precision: ``runs`` or a ``cause``, and what the gate said."""

_MARK = "trial: "
_MOST_S = 240.0


@dataclass(frozen=True)
class Order:
    """What a trial process is asked for; it travels as JSON."""

    engine: str
    recipe: str
    graphs: list[tuple[str, Precision]]
    """(tower, precision), in the order in which they are tried."""
    scale: str
    work: str
    checkpoints: list[str]
    device: str


def measure(
    recorder: Recorder, scale_name: str, work: Path, checkpoints: Sequence[Path], device: str
) -> None:
    """Fills in ``trials``, ``engine`` (the first rung that runs a pair) and ``fell_through``."""
    graphs = part_of(recorder.so_far, "export").get("graphs", [])
    recorder.save(engine=None, trials=[], fell_through=[])
    for rung in rungs(device):
        found: list[Trial] = []
        for recipe in SCALES[scale_name].recipes:
            wanted = [
                (entry["tower"], entry["precision"])
                for entry in graphs
                if entry["recipe"] == recipe and entry["precision"] in rung.precisions
            ]
            folders = [str(folder) for folder in checkpoints]
            wanted.sort(key=lambda graph: PRECISIONS.index(graph[1]))  # both towers in one, then the next
            order = Order(rung.name, recipe, wanted, scale_name, str(work), folders, device)
            found += _trials(order, recorder)
            if found and not found[0]["runs"]:
                break  # it is absent, or does not know this GPU
        recorder.section["trials"] += [trial for trial in found if trial["runs"]]
        if _serves_a_pair(found):
            for trial in found:
                if not trial["runs"]:
                    what = f"{rung.name}: {trial['recipe']} {trial['tower']} {trial['precision']}"
                    recorder.leave_out(what, trial["cause"])
            recorder.save(engine=rung.name)
            return
        why = next((trial["cause"] for trial in found if not trial["runs"]), "no graph was exported for it")
        recorder.section["fell_through"].append({"engine": rung.name, "cause": why})
        recorder.save()
    recorder.leave_out("any engine", "no rung of the ladder runs here; torch alone is measured")


def _serves_a_pair(found: Sequence[Trial]) -> bool:
    running = {(trial["recipe"], trial["tower"]) for trial in found if trial["runs"]}
    return any(all((recipe, tower) in running for tower in TOWERS) for recipe, _ in running)


def _trials(order: Order, recorder: Recorder) -> list[Trial]:
    """Tries all graphs of an order; after a process died, the rest in a new one.

    A rung that cannot even open its first graph is not asked for the others.
    """
    found: list[Trial] = []
    while len(found) < len(order.graphs):
        rest = order.graphs[len(found) :]
        if not recorder.left_s:
            return [*found, *(_dead(order, graph, "the part's time was over") for graph in rest)]
        answers, ending = _one_process(
            Order(**{**vars(order), "graphs": rest}), min(_MOST_S, recorder.left_s + 5)
        )
        found += answers
        if len(answers) < len(rest):
            found.append(_dead(order, rest[len(answers)], ending))
        if not found[0]["runs"]:
            return found
    return found


def _dead(order: Order, graph: tuple[str, Precision], why: str) -> Trial:
    return {**_where(order, graph), "runs": False, "cause": why}


def _where(order: Order, graph: tuple[str, Precision]) -> Trial:
    return {"engine": order.engine, "recipe": order.recipe, "tower": graph[0], "precision": graph[1]}


def _one_process(order: Order, seconds: float) -> tuple[list[Trial], str]:
    """Returns the trials that a process finished, and how it ended."""
    command = [sys.executable, "-m", "benchmarks.gpu_check.gating", json.dumps(vars(order))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, errors="replace")
        said = done.stdout
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        ending = f"its process ended with status {done.returncode}; last words: {last}"[:300]
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
        said = out.decode(errors="replace") if isinstance(out, bytes) else out
        ending = f"ended by force after {seconds:.0f} s"
    marked = [line for line in said.splitlines() if line.startswith(_MARK)]
    return [json.loads(line.removeprefix(_MARK)) for line in marked], ending


def try_engine(
    rung: Rung, subject: Subject, tower: str, precision: Precision, scale: Scale, work: Path
) -> Trial:
    """Opens an engine, runs it once, and lets the gate judge it.

    Returns:
        ``runs``; ``name`` of the engine; ``gate``, passed or failed; ``one_minus`` the cosines of a
        passed gate, or the ``refusal``. Where the engine does not run, the ``cause``.
    """
    graph = graph_of(subject, tower)
    checkpoint = subject.checkpoint
    try:
        path = graph_file(work, checkpoint.recipe.name, tower, precision)
        engine = rung.open(path, scale.profile(subject.longest(tower)))
        inputs = subject.inputs(tower, 1, scale.lengths[0], "cpu")
        engine.run({name: tensor.numpy() for name, tensor in zip(graph.inputs, inputs, strict=True)})
    except Exception as error:  # parsers, builders and providers raise what they like
        return {"runs": False, "cause": cause(error)}
    rows = samples(checkpoint.towers.tokenizer, checkpoint.recipe, graph.limits["max_tokens"], TEXTS)
    # Batches that split the rows unevenly, and padding as the gateway pads for native targets.
    shapes = Shapes.of(graph.limits["max_tokens"], 8, scale.batches[1:3])
    trial: Trial = {"runs": True, "name": engine.name}
    try:
        report = check_numbers(
            graph,
            rows,
            Candidate(engine, rows, shapes),
            checkpoint.recipe.image.views,
            GateSettings().of(precision, "cpu" if "CPU" in engine.name else "tensorrt"),
        )
    except GateFailed as refused:
        return {**trial, "gate": "failed", "refusal": str(refused)[:600]}
    except Exception as error:  # an engine that dies on a hostile row has failed the gate as well
        return {**trial, "gate": "failed", "refusal": cause(error)}
    distances = {name: four_digits(1 - value) for name, value in report.measured.items() if "cosine" in name}
    return {**trial, "gate": "passed", "one_minus": distances}


def main(asked: str) -> None:
    """Runs an order's trials and prints each as it ends; see ``_one_process``."""
    order = Order(**json.loads(asked))
    scale = SCALES[order.scale]
    subject = make_subject(order.recipe, [Path(folder) for folder in order.checkpoints], scale.lengths[-1])
    rung = rung_named(order.engine, order.device)
    for tower, precision in order.graphs:
        trial = try_engine(rung, subject, tower, precision, scale, Path(order.work))
        said = {**_where(order, (tower, precision)), **trial}
        print(_MARK + json.dumps(said), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
