"""The part ``export``: counts each tower's FLOPs and bytes, exports it, and writes its precisions.

The graphs lie in the work folder, where the later parts find them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.gpu_check.counting import count
from benchmarks.gpu_check.parts import Recorder
from benchmarks.gpu_check.scale import Scale
from benchmarks.gpu_check.subjects import TEXTS, TOWERS, Subject, describe, make_subject
from export.gate.engine import Feed
from export.gate.samples import feed_of, samples
from export.onnx_export import TowerGraph, export_onnx, tower_graphs
from export.targets import PRECISIONS, Precision

_CALIBRATION_ROWS = 8


def graph_file(work: Path, recipe: str, tower: str, precision: str) -> Path:
    """Returns where a tower's graph lies."""
    return work / f"{recipe}-{tower}-{precision}.onnx"


def graph_of(subject: Subject, tower: str) -> TowerGraph:
    """Returns the export's description of a tower."""
    return next(graph for graph in tower_graphs(subject.checkpoint) if graph.name == tower)


def measure(recorder: Recorder, scale: Scale, work: Path, checkpoints: Sequence[Path]) -> None:
    """Fills in ``subjects``, ``counts`` of one row by recipe, tower and length, and ``graphs``."""
    recorder.save(subjects=[], counts=[], graphs=[])
    for recipe in scale.recipes:
        recorder.attempt(recipe, _pair, recorder, scale, work, checkpoints, recipe)


def _pair(recorder: Recorder, scale: Scale, work: Path, checkpoints: Sequence[Path], recipe: str) -> None:
    subject = make_subject(recipe, checkpoints, scale.lengths[-1])
    recorder.section["subjects"].append(describe(subject))
    for tower in TOWERS:
        for length in scale.lengths:
            if length > subject.longest(tower):
                why = f"it has {subject.longest(tower)} positions"
                recorder.leave_out(f"{recipe} {tower} at length {length}", why)
                continue
            what = f"{recipe} {tower}, counting at length {length}"
            recorder.attempt(what, _count, recorder, subject, recipe, tower, length)
    exported = [tower for tower in TOWERS if _export(recorder, subject, recipe, tower, work)]
    for precision in PRECISIONS[1:]:  # both towers in one, then the next: half a pair serves nobody
        for tower in exported:
            _precision(recorder, subject, tower, precision, work)


def _export(recorder: Recorder, subject: Subject, recipe: str, tower: str, work: Path) -> bool:
    path = graph_file(work, recipe, tower, "fp32")
    done = recorder.attempt(f"{recipe} {tower} to ONNX", export_onnx, graph_of(subject, tower), path)
    if done:
        recorder.section["graphs"].append({"recipe": recipe, "tower": tower, "precision": "fp32"})
    return done


def _count(recorder: Recorder, subject: Subject, recipe: str, tower: str, length: int) -> None:
    counted = count(subject.module(tower), subject.inputs(tower, 1, length, "cpu"))
    where = {"recipe": recipe, "tower": tower, "length": length}
    recorder.section["counts"].append({**where, **asdict(counted)})


def _precision(recorder: Recorder, subject: Subject, tower: str, precision: Precision, work: Path) -> None:
    recipe = subject.checkpoint.recipe.name
    source, path = (graph_file(work, recipe, tower, kind) for kind in ("fp32", precision))
    calibration = calibration_feeds(subject, graph_of(subject, tower))
    what = f"{recipe} {tower} in {precision}"
    if recorder.attempt(what, _convert, source, precision, path, calibration):
        recorder.section["graphs"].append({"recipe": recipe, "tower": tower, "precision": precision})


def _convert(source: Path, precision: Precision, path: Path, calibration: list[Feed]) -> None:
    from export.precision import convert  # needs more packages than fp32 does

    convert(source, precision, path, calibration)


def calibration_feeds(subject: Subject, graph: TowerGraph) -> list[Feed]:
    """Returns the rows from which int8 and fp8 take their scales, a few a feed."""
    checkpoint = subject.checkpoint
    rows = samples(checkpoint.towers.tokenizer, checkpoint.recipe, graph.limits["max_tokens"], TEXTS)
    views = checkpoint.recipe.image.views
    return [
        feed_of(rows[start : start + _CALIBRATION_ROWS], graph.inputs, views, multiple_of=8)
        for start in range(0, len(rows), _CALIBRATION_ROWS)
    ]
