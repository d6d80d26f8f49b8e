"""One process a part: a crash, a hang or an absent package costs that part and no other.

A part saves its section as it goes; whatever stands in the file when its process ends, by
itself or by force, is the part's result.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from benchmarks.gpu_check.clock import cause, four_digits
from benchmarks.gpu_check.result import Result, Section, read_json, write_json

P = ParamSpec("P")

_GRACE = 1.3
"""A part ends itself when its time is over; after this many times its share it is ended."""
_START_S = 20.0
"""Importing torch and waking the GPU, before a part's own time counts."""


@dataclass(frozen=True)
class Share:
    """A part and its share of the time that is left."""

    name: str
    weight: float


class Recorder:
    """What a part writes into, and when it must stop.

    Args:
        path: the part's own file.
        seconds: how long it may run.
        so_far: the results of the parts before it.
    """

    def __init__(self, path: Path, seconds: float, so_far: Result) -> None:
        self._path = path
        self._end = time.monotonic() + seconds
        self.so_far = so_far
        self.section: Section = {"not_run": []}

    @property
    def left_s(self) -> float:
        """Seconds left; not below zero."""
        return max(0.0, self._end - time.monotonic())

    def save(self, **findings: Any) -> None:
        """Adds findings to the section and puts it on disk."""
        self.section.update(findings)
        write_json(self._path, self.section)

    def leave_out(self, what: str, why: str) -> None:
        """Notes what was not run."""
        self.section["not_run"].append({"what": what, "cause": why})
        self.save()

    def attempt(self, what: str, work: Callable[P, object], *args: P.args, **named: P.kwargs) -> bool:
        """Does one piece of work; what it raises is noted and passed over. Returns whether it worked."""
        if not self.left_s:
            self.leave_out(what, "the part's time was over")
            return False
        try:
            work(*args, **named)
        except (Exception, SystemExit) as error:  # other people's code; the next piece may still work
            self.leave_out(what, cause(error))
            return False
        self.save()
        return True


def part_of(result: Result, name: str) -> Section:
    """Returns an earlier part's findings; empty where there are none."""
    section: Section = result.get("parts", {}).get(name, {}).get("result", {})
    return section


def run_parts(
    shares: Sequence[Share],
    total_s: float,
    command: Callable[[str, float], list[str]],
    folder: Path,
    save: Callable[[str, Section], None],
    say: Callable[[str], None],
) -> None:
    """Runs parts one after the other; what one leaves of its time the later ones get.

    Args:
        shares: the parts in order.
        total_s: for all of them.
        command: gives the command line of a part that may take so many seconds.
        folder: where the parts write, each ``<name>.json``.
        save: is given every part's outcome at once.
        say: progress, a line at a time.
    """
    end = time.monotonic() + total_s
    for place, share in enumerate(shares):
        left = end - time.monotonic()
        seconds = left * share.weight / sum(later.weight for later in shares[place:])
        if left <= 0:
            outcome: Section = {"status": "not run", "cause": "the total time was over", "result": {}}
        else:
            outcome = _run(share.name, seconds, command(share.name, seconds), folder)
        save(share.name, outcome)
        say(f"{share.name}: {outcome['status']} {outcome.get('cause', '')}".rstrip())


def _run(name: str, seconds: float, command: Sequence[str], folder: Path) -> Section:
    start = time.monotonic()
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        # A group of its own: what a part started must end with it.
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, process_group=0)
        try:
            code: int | None = process.wait(timeout=seconds * _GRACE + _START_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:  # also where this program itself is asked to end
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    outcome: Section = {"status": "ok", "seconds": four_digits(time.monotonic() - start)}
    if code != 0:
        outcome["status"] = "failed"
        outcome["cause"] = f"{_ending(code)}; last words: {_last_words(log)}"
    outcome["result"] = read_json(folder / f"{name}.json")
    if code == 0 and outcome["result"].get("not_run"):
        outcome["status"] = "partial"
    return outcome


def _ending(code: int | None) -> str:
    if code is None:
        return "ended by force, its time was over"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exit status {code}"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "none"
