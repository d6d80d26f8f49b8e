"""``make experiments``: trains the arms that rows need, measures them, and writes the tables.

Everything is kept in ``var/experiments``: a run that was stopped, by Ctrl-C or otherwise, goes on.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.experiments.claims import Outcome, Row, judge
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.planning import Clock, plan
from benchmarks.experiments.pool import Pool
from benchmarks.experiments.report import write_report
from benchmarks.experiments.results import Run
from benchmarks.experiments.rows import REAL_ROWS, ROWS
from benchmarks.experiments.scale import FULL, QUICK, REAL, Scale
from benchmarks.experiments.store import Store
from benchmarks.experiments.task import Done, Task
from faults import InvalidInput, Occupied, VitrineError

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ROOT / "docs" / "experiments"
RESULTS = ROOT / "var" / "experiments"
QUICK_ROWS = ("A1", "A2", "A3", "A4", "A6", "A9", "S12", "B1", "B6", "B7", "C4", "C5", "C6", "D4", "D5", "D7")
"""Every kind of code once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the processes end as well
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    if options.data and not (options.data / "catalog" / "products.parquet").is_file():
        say(f"experiments on a real catalogue skipped: there is none in {options.data / 'catalog'}")
        return 0
    try:
        rows = _rows(options)
        with _alone(options.results):
            return _run(rows, options)
    except KeyboardInterrupt:
        say("stopped; the next `make experiments` goes on from here")
        return 130
    except VitrineError as error:
        say(f"make experiments: {error}")
        return 2


def _run(rows: Sequence[Row], options: argparse.Namespace) -> int:
    scale = _scale(options)
    store = Store(options.results, scale)
    seeds = range(options.seeds)
    failures: dict[tuple[str, str], str] = {}
    if not options.report:
        failures = _work(rows, seeds, store, options)
    evidence = Evidence(store, seeds, failures)
    outcomes = {row.id: [judge(claim, evidence, scale.resamples) for claim in row.claims] for row in rows}
    _write(rows, outcomes, store, options)
    say(f"{options.out / 'README.md'} is written")
    return 1 if options.quick and _broken(outcomes) else 0


def _work(
    rows: Sequence[Row], seeds: Sequence[int], store: Store, options: argparse.Namespace
) -> dict[tuple[str, str], str]:
    """Does what is left to do; returns why something could not be done, by (arm, measure)."""
    tasks, impossible = plan(rows, seeds, store)
    for arm, why in impossible.items():
        say(f"{arm}: not measurable yet: {why}")
    failures = {(arm, "training"): why for arm, why in impossible.items()}
    clock = Clock(tasks, options.processes)
    ends = time.monotonic() + 60 * options.budget if options.budget else float("inf")
    say(f"{len(tasks)} tasks to do, {options.processes} at a time")

    def on_done(done: Done) -> None:
        clock.note(done)
        failures.update({(done.task.arm, name): why for name, why in done.failures.items()})
        say(_progress(done, clock, len(tasks)))

    def in_budget(task: Task) -> bool:
        return time.monotonic() + clock.seconds(task) < ends

    left = Pool(options.processes, options.results, store.scale).run(tasks, on_done, in_budget)
    if left:
        say(f"the budget is used up: {len(left)} tasks are left for the next `make experiments`")
    return failures


def _progress(done: Done, clock: Clock, of: int) -> str:
    left = round(clock.left_s() / 60)
    text = f"[{clock.done}/{of}] {done.task.arm} seed {done.task.seed}: {done.cpu_s:.0f} s"
    text += f", about {left} min left" if clock.done < of else ""
    return text + "".join(f"\n    {name}: {why}" for name, why in done.failures.items())


def _write(
    rows: Sequence[Row], outcomes: dict[str, list[Outcome]], store: Store, options: argparse.Namespace
) -> None:
    run = Run(seeds=options.seeds, rows=tuple(rows), outcomes=outcomes, quick=options.quick)
    write_report(run, store, options.out)


def _broken(outcomes: dict[str, list[Outcome]]) -> bool:
    """Tells whether the quick run left something unmeasured."""
    return any(outcome.interval is None for parts in outcomes.values() for outcome in parts)


def _rows(options: argparse.Namespace) -> list[Row]:
    rows = REAL_ROWS if options.data else ROWS
    wanted = [name for name in options.rows.replace(" ", "").split(",") if name]
    if not wanted:
        wanted = list(QUICK_ROWS if options.quick else rows)
    unknown = [name for name in wanted if name not in rows]
    if unknown:
        raise InvalidInput(
            "no such rows", field="ROWS", value=unknown, fix=f"Name some of {', '.join(rows)}."
        )
    return [rows[name] for name in rows if name in wanted]


def _scale(options: argparse.Namespace) -> Scale:
    if options.data:
        return replace(REAL, catalogue=str((options.data / "catalog").resolve()))
    return QUICK if options.quick else FULL


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock: two runs would train the same arms."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise Occupied(
                "another run of the experiments is under way",
                field=str(folder),
                value=f"process {stream.read().strip()}",
                fix="Wait for it, or stop it: nothing of it is lost.",
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experiments", description=__doc__)
    add = parser.add_argument
    add("--rows", default="", help="only these, comma-separated (A1,B3)")
    add("--seeds", type=int, default=0, help="how many; 5, or 1 with --quick")
    add("--budget", type=float, default=0.0, help="start nothing that would end after so many minutes")
    add("--processes", type=int, default=0, help="at a time; by default the cores, two at most")
    add("--quick", action="store_true", help="a few steps on a small shop: a check of the program")
    add(
        "--data",
        type=Path,
        help="folder with a real catalogue in catalog/: rows that it can answer, one seed",
    )
    add("--report", action="store_true", help="only write the tables anew from what is there")
    add("--results", type=Path, default=RESULTS, help="folder of trained arms and findings")
    add("--out", type=Path, help="folder of the tables; docs/experiments, or var/experiments/quick-report")
    options = parser.parse_args(arguments)
    if options.quick and options.data:
        parser.error("--quick is for the sample shop: leave --data out")
    options.seeds = options.seeds or (1 if options.quick or options.data else 5)
    options.processes = options.processes or min(2, len(os.sched_getaffinity(0)))
    usual = DOCUMENTS / "real" if options.data else DOCUMENTS
    options.out = options.out or (RESULTS / "quick-report" if options.quick else usual)
    return options


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())
