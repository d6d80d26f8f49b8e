"""``python -m benchmarks.gpu_check``: measures this machine, or says why there is nothing to measure.

It needs the repository as the working directory, and nothing of it installed.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu_check import machine, table
from benchmarks.gpu_check.parts import Recorder, Share, part_of, run_parts
from benchmarks.gpu_check.result import SCHEMA, Result, Section, read_json, slug, write_json
from benchmarks.gpu_check.scale import SCALES, Scale

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "gpu"
DOCUMENT = ROOT / "docs" / "gpu.md"


def shares(scale: Scale) -> list[Share]:
    """Returns the parts in order, each with its share of the time."""
    return [
        Share("machine", 10),
        Share("ceilings", 30),
        Share("export", 110),
        Share("engines", 140),
        *(Share(f"speed-{recipe}", 120) for recipe in scale.recipes),
        *(Share(f"search-{dim}", 60) for dim in scale.dims),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _options(given)
    if options.table:
        _write_document()
        return 0
    if options.part:
        _run_part(options)
        return 0
    if options.device == "cuda":
        reason = machine.why_no_gpu()
        if reason is not None:
            say(f"gpu-check skipped: {reason}")
            return 0
    elif options.out == RESULTS:
        say("gpu-check: a rehearsal on the CPU is no result: name another folder with --out")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the part that runs ends as well
    say(f"gpu-check: {options.minutes:g} minutes, results in {options.out}")
    result = _measure(options, given)
    if options.out == RESULTS:
        _write_document()
    say(table.render(result))  # last: a remote console may show only the end
    return 0


def _measure(options: argparse.Namespace, given: Sequence[str]) -> Result:
    scale = SCALES[options.scale]
    wanted = [share for share in shares(scale) if not options.parts or share.name in options.parts.split(",")]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vitrine-gpu-check-") as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        so_far = work / "so-far.json"
        result = _begin(options, given, read_json(options.earlier or so_far) if options.parts else {})
        write_json(so_far, result)

        def save(name: str, outcome: Section) -> None:
            result["parts"][name] = outcome
            write_json(so_far, result)
            write_json(options.out / f"{slug(part_of(result, 'machine').get('gpu', ''))}.json", result)

        def command(name: str, seconds: float) -> list[str]:
            asked = ["--part", name, "--seconds", f"{seconds:.1f}", "--work", str(work)]
            asked += ["--device", options.device, "--scale", options.scale]
            for folder in options.checkpoint:
                asked += ["--checkpoint", str(folder)]
            return [sys.executable, "-m", "benchmarks.gpu_check", *asked]

        run_parts(wanted, options.minutes * 60, command, work, save, say)
    return result


def _begin(options: argparse.Namespace, given: Sequence[str], earlier: Result) -> Result:
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": options.commit or _commit(),
        "commands": [
            *earlier.get("commands", []),
            shlex.join(["python", "-m", "benchmarks.gpu_check", *given]),
        ],
        "minutes": options.minutes,
        "device": options.device,
        "scale": options.scale,
        "parts": earlier.get("parts", {}),
    }


def _run_part(options: argparse.Namespace) -> None:
    """Runs one part in this process; see ``parts``. Imports are its own: one broken package is one part's."""
    so_far = read_json(options.work / "so-far.json")
    recorder = Recorder(options.work / f"{options.part}.json", options.seconds, so_far)
    scale, device = SCALES[options.scale], options.device
    kind, _, which = options.part.partition("-")
    if kind == "machine":
        recorder.save(**machine.facts(device))
    elif kind == "ceilings":
        from benchmarks.gpu_check import ceilings

        ceilings.measure(recorder, device, scale.matrices, scale.copy_bytes)
    elif kind == "export":
        from benchmarks.gpu_check import exporting

        exporting.measure(recorder, scale, options.work, options.checkpoint)
    elif kind == "engines":
        from benchmarks.gpu_check import gating

        gating.measure(recorder, options.scale, options.work, options.checkpoint, device)
    elif kind == "speed":
        from benchmarks.gpu_check import speed

        speed.measure(recorder, which, scale, options.work, options.checkpoint, device)
    else:
        from benchmarks.gpu_check import search

        search.measure(recorder, int(which), scale, device)


def _write_document() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(table.updated(document, table.results_in(RESULTS)), encoding="utf-8")
    say(f"{DOCUMENT.relative_to(ROOT)} is current")


def _commit() -> str | None:
    """Returns the commit, with ``+`` where the tree differs from it; None outside a git checkout."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=9.0, help="for everything together; the parts share them")
    add("--out", type=Path, default=RESULTS, help="folder of the result file")
    add("--checkpoint", type=Path, action="append", default=[], help="towers of yours, instead of fresh ones")
    add("--parts", default="", help="only these, comma-separated, into the earlier result")
    add("--earlier", type=Path, help="result file to which --parts adds; else the one in --work")
    add("--work", type=Path, help="keep graphs, plans and logs here, for a later run with --parts")
    add("--commit", default="", help="the commit, where the tree came without git")
    add("--table", action="store_true", help="only write docs/gpu.md anew from the result files")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal of the program")
    add("--scale", choices=sorted(SCALES), default="full", help="tiny: sizes for a rehearsal")
    add("--part", default="", help=argparse.SUPPRESS)
    add("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())
