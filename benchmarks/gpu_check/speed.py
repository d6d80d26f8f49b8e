"""The part ``speed``: torch's contenders and the engine, by batch and length, in interleaved rounds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks.gpu_check.ceilings import synchronise
from benchmarks.gpu_check.clock import (
    Call,
    Round,
    cause,
    four_digits,
    interleaved,
    per_second,
    times_faster,
    wait_ms,
)
from benchmarks.gpu_check.contenders import EAGER, Bind, Inputs, captured, contenders, precision_of
from benchmarks.gpu_check.counting import Count, floor
from benchmarks.gpu_check.engines import TimedEngine
from benchmarks.gpu_check.exporting import graph_file
from benchmarks.gpu_check.ladder import rung_named
from benchmarks.gpu_check.parts import Recorder, part_of
from benchmarks.gpu_check.scale import Scale
from benchmarks.gpu_check.subjects import TOWERS, Subject, make_subject

Row = dict[str, Any]

_OVERHEAD = 1.6
"""A turn takes longer than its calls: warm-up, calibration and binding."""


def measure(
    recorder: Recorder, recipe: str, scale: Scale, work: Path, checkpoints: Sequence[Path], device: str
) -> None:
    """Fills in ``rows``, one for each contender, tower, batch and length.

    A row's figures over the rounds are [median, least, most]: ``per_s`` rows a second from
    bursts, ``to_eager`` times the work of torch eager fp32 in the same round, ``to_floor``
    times the floor's duration. ``p50_ms`` and ``p99_ms`` are of synchronised calls.
    """
    # fp32 means fp32: by default torch's convolutions drop 13 bits of it.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    subject = make_subject(recipe, checkpoints, scale.lengths[-1])
    recorder.save(recipe=recipe, rows=[], fed_from={})
    shapes = [(batch, length) for length in scale.lengths for batch in scale.batches]
    # Towers share the time: each ends when its half is over, whatever it left out.
    for place, tower in enumerate(TOWERS):
        share = recorder.left_s / (len(TOWERS) - place)
        end_at = recorder.left_s - share
        module = subject.module(tower).to(device)
        binds = _bindings(recorder, subject, tower, module, work, device, scale)
        for done, (batch, length) in enumerate(shapes):
            what = f"{tower} batch {batch} length {length}"
            left = recorder.left_s - end_at
            if length > subject.longest(tower):
                recorder.leave_out(what, f"it has {subject.longest(tower)} positions")
                continue
            if left <= 0:
                recorder.leave_out(what, "the tower's time was over")
                continue
            turns = max(1, len(binds)) * scale.rounds * (len(shapes) - done) * _OVERHEAD
            turn_s = min(scale.most_turn_s, max(scale.least_turn_s, left / turns))
            inputs = subject.inputs(tower, batch, length, device)
            recorder.attempt(what, _shape, recorder, binds, tower, inputs, scale.rounds, turn_s, device)
        module.to("cpu")


def _bindings(
    recorder: Recorder,
    subject: Subject,
    tower: str,
    module: torch.nn.Module,
    work: Path,
    device: str,
    scale: Scale,
) -> dict[str, Bind]:
    """Makes every contender that can be made; why another cannot is noted."""
    makers: dict[str, Callable[[], Bind]] = dict(contenders(module, device))
    found = part_of(recorder.so_far, "engines")
    for trial in found.get("trials", []):
        if (trial["recipe"], trial["tower"]) != (subject.checkpoint.recipe.name, tower):
            continue
        if trial["engine"] != found.get("engine"):
            continue
        rung = rung_named(trial["engine"], device)
        path = graph_file(work, trial["recipe"], tower, trial["precision"])
        name = f"{rung.name} {trial['precision']}"
        opened = functools.cache(partial(rung.open, path, scale.profile(subject.longest(tower))))
        makers[name] = partial(_engine, recorder, name, opened)
        if rung.captures:
            makers[f"{rung.name} in a CUDA graph {trial['precision']}"] = partial(_captured, opened)
    binds: dict[str, Bind] = {}
    for name, make in makers.items():
        try:
            binds[name] = make()
        except Exception as error:
            recorder.leave_out(f"{tower} {name}", cause(error))
    return binds


def _engine(recorder: Recorder, name: str, open_engine: Callable[[], TimedEngine]) -> Bind:
    engine = open_engine()

    def bind(inputs: Inputs) -> Call:
        call = engine.bind(inputs)
        recorder.section["fed_from"][name] = engine.fed_from
        return call

    return bind


def _captured(open_engine: Callable[[], TimedEngine]) -> Bind:
    engine = open_engine()
    return lambda inputs: captured(engine.bind(inputs))


def _shape(
    recorder: Recorder,
    binds: dict[str, Bind],
    tower: str,
    inputs: Inputs,
    rounds: int,
    turn_s: float,
    device: str,
) -> None:
    """Measures one shape. Who fails here is out for the shapes after it: a failed compilation takes long."""
    batch, length = inputs[0].shape
    calls: dict[str, Call] = {}
    failures: dict[str, str] = {}
    for name, bind in binds.items():
        try:
            calls[name] = bind(inputs)
        except Exception as error:
            failures[name] = cause(error)
    found, failed = interleaved(calls, lambda: synchronise(device), rounds, turn_s)
    for name, why in {**failures, **failed}.items():
        del binds[name]
        recorder.leave_out(f"{tower} {name} from batch {batch} length {length} on", why)
    where = {"recipe": recorder.section["recipe"], "tower": tower, "length": length}
    for name, measured in found.items():
        row = {"tower": tower, "batch": batch, "length": length, "contender": name}
        row |= figures(measured, found.get(EAGER), batch)
        recorder.section["rows"].append({**row, **_to_floor(recorder, where, name, batch, measured)})


def figures(measured: Sequence[Round], eager: Sequence[Round] | None, batch: int) -> Row:
    """Returns a row's figures; the ratio to eager only where eager ran in the same rounds."""
    row: Row = {
        "per_s": per_second(measured, batch).as_list(),
        "p50_ms": four_digits(wait_ms(measured, 50)),
        "p99_ms": four_digits(wait_ms(measured, 99)),
        "calls": sum(len(each.waits_s) for each in measured),
    }
    if eager is not None:
        row["to_eager"] = times_faster(measured, eager).as_list()
    return row


def _to_floor(recorder: Recorder, where: Row, contender: str, batch: int, measured: Sequence[Round]) -> Row:
    counted = next(
        (
            entry
            for entry in part_of(recorder.so_far, "export").get("counts", [])
            if all(entry[key] == value for key, value in where.items())
        ),
        None,
    )
    if counted is None:
        return {}
    one = Count(**{name: counted[name] for name in Count.__dataclass_fields__})
    least = floor(one, batch, precision_of(contender), part_of(recorder.so_far, "ceilings"))
    if least is None:
        return {}
    times = sorted(four_digits(each.burst_s / least.seconds) for each in measured)
    spread = [times[len(times) // 2], times[0], times[-1]]
    floors = {"floor_ms": four_digits(least.seconds * 1e3), "unfused_ms": four_digits(least.unfused_s * 1e3)}
    return {**floors, "bound": least.bound, "to_floor": cast("Any", spread)}
