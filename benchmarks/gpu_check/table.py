"""docs/gpu.md from the result files: every figure in it stands in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.parts import part_of
from benchmarks.gpu_check.result import Result, not_run, read_json

BEGIN, END = "<!-- gpu-check: begin -->", "<!-- gpu-check: end -->"
NOTHING = "Not run on a GPU yet."

_SHOWN_BATCHES = 3
_CAUSE_LENGTH = 180


def results_in(folder: Path) -> list[Result]:
    """Reads all result files of a folder, by name."""
    return [read_json(path) for path in sorted(folder.glob("*.json"))]


def updated(document: str, results: Sequence[Result]) -> str:
    """Returns the document with everything between its markers made anew.

    Raises:
        ValueError: the document has lost its markers.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document needs the lines {BEGIN} and {END}")
    body = "\n".join(render(result) for result in results) if results else NOTHING + "\n"
    return f"{before}{BEGIN}\n\n{body}\n{END}{after}"


def render(result: Result) -> str:
    """Returns one machine's section in Markdown."""
    machine = part_of(result, "machine")
    parts = [
        f"## {machine.get('gpu', 'unknown GPU')}",
        _facts(result, machine),
        _ceilings(part_of(result, "ceilings")),
        _engine(part_of(result, "engines")),
        *(_speed(part["result"]) for part in _parts(result, "speed-")),
        *(_search(part["result"]) for part in _parts(result, "search-")),
        _missing(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _parts(result: Result, prefix: str) -> list[dict[str, Any]]:
    every = result.get("parts", {}).items()
    return [part for name, part in every if name.startswith(prefix) and part["result"]]


def _facts(result: Result, machine: Result) -> str:
    named = [
        ("compute capability", machine.get("compute_capability")),
        ("memory, GiB", machine.get("memory_gib")),
        ("driver", machine.get("driver")),
        ("CUDA", machine.get("cuda")),
        ("torch", machine.get("torch")),
        ("ONNX Runtime", machine.get("onnxruntime", {}).get("version")),
        ("TensorRT", machine.get("tensorrt", {}).get("version", "absent")),
        ("FAISS", machine.get("faiss", {}).get("version", "absent")),
    ]
    facts = ", ".join(f"{name} {value}" for name, value in named if value)
    commit = str(result.get("commit") or "unknown")[:12]
    commands = ", ".join(f"`{command}`" for command in result.get("commands", []))
    return f"{facts}. Measured {result.get('date')} at commit {commit} with {commands}."


def _ceilings(found: Result) -> str:
    if not found.get("tflops"):
        return ""
    names = list(found["tflops"])
    return _table(
        ["measured ceiling", *(f"{name}, TFLOP/s" for name in names), "copy, GB/s", "launch + wait, µs"],
        [
            [
                "",
                *(_number(found["tflops"][name]) for name in names),
                _number(found.get("copy_gb_s")),
                _number(found.get("launch_us")),
            ]
        ],
    )


def _engine(found: Result) -> str:
    if not found:
        return ""
    lines = [f"Engine: **{found.get('engine') or 'none'}**."]
    lines += [f"- {each['engine']} fell through: {each['cause']}" for each in found.get("fell_through", [])]
    rows = [
        [
            trial["recipe"],
            trial["tower"],
            trial["precision"],
            trial["gate"],
            _number(trial.get("one_minus", {}).get("minimum_cosine")),
            _number(trial.get("one_minus", {}).get("minimum_cosine_in_company")),
        ]
        for trial in found.get("trials", [])
        if trial["engine"] == found.get("engine")
    ]
    if not rows:
        return "\n".join(lines)
    head = ["gate", "tower", "precision", "verdict", "1 - worst cosine to torch", "1 - worst, in company"]
    return "\n".join(lines) + "\n\n" + _table(head, rows)


def _speed(found: Result) -> str:
    """One table a tower: rows a second, times eager, and p99, at a few batches of one length."""
    tables = []
    for tower in _distinct(row["tower"] for row in found.get("rows", [])):
        rows = [row for row in found["rows"] if row["tower"] == tower]
        lengths = sorted({row["length"] for row in rows})
        length = lengths[-1] if tower == "product_tower" else lengths[min(1, len(lengths) - 1)]
        rows = [row for row in rows if row["length"] == length]
        batches = _spread(sorted({row["batch"] for row in rows}), _SHOWN_BATCHES)
        body = [
            [contender, *(_cell(rows, contender, batch) for batch in batches)]
            for contender in _distinct(row["contender"] for row in rows)
        ]
        head = [
            f"{found['recipe']} {tower}, {length} tokens",
            *(f"batch {batch}: rows/s (× eager; × floor) p50 / p99 ms" for batch in batches),
        ]
        tables.append(_table(head, body))
    return "\n\n".join(tables)


def _cell(rows: Sequence[Result], contender: str, batch: int) -> str:
    for row in rows:
        if row["contender"] == contender and row["batch"] == batch:
            eager = f"×{_range(row['to_eager'])}" if "to_eager" in row else "×?"
            floor = f"; {_number(row['to_floor'][0])}" if "to_floor" in row else ""
            waits = f"{_number(row['p50_ms'])} / {_number(row['p99_ms'])}"
            return f"{_number(row['per_s'][0])} ({eager}{floor}) {waits}"
    return "not run"


def _search(found: Result) -> str:
    if not found.get("indexes"):
        return ""
    batches = sorted({row["batch"] for row in found.get("rows", [])})
    recalls = sorted(
        (name for name in found["indexes"][0] if name.startswith("recall_at_")),
        key=lambda name: int(name.rsplit("_", 1)[-1]),
    )
    body = []
    for entry in found["indexes"]:
        name = f"{entry['index']} {entry['setting']}".strip()
        speeds = {row["batch"]: row for row in found["rows"] if row["index"] == name}
        cells = [
            f"{_number(speeds[batch]['per_s'][0])} (×{_range(speeds[batch]['to_exact'])})"
            if batch in speeds and "to_exact" in speeds[batch]
            else "not run"
            for batch in batches
        ]
        figures = [_number(entry[name]) for name in recalls]
        body.append([name, *figures, _number(entry["build_s"]), str(entry["gpu_mib"]), *cells])
    head = [
        f"{found['vectors']} vectors of {found['dim']}, top {found['k']}",
        *(name.replace("recall_at_", "recall@") for name in recalls),
        "build, s",
        "GPU, MiB",
        *(f"batch {batch}: queries/s (× exact)" for batch in batches),
    ]
    return _table(head, body)


def _missing(result: Result) -> str:
    """Lists what was not run, one line a cause."""
    by_cause: dict[str, list[str]] = {}
    for what, why in not_run(result):
        by_cause.setdefault(why, []).append(what)
    if not by_cause:
        return "Everything ran."
    lines = [
        f"- {whats[0]}{f' (and {len(whats) - 1} more)' if len(whats) > 1 else ''}: {why[:_CAUSE_LENGTH]}"
        for why, whats in by_cause.items()
    ]
    return "Not run, or failed:\n\n" + "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    """Three significant digits, without an exponent where a reader can do without."""
    if value is None:
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        rounded = float(f"{value:.3g}")
        return str(int(rounded)) if rounded == int(rounded) else str(rounded)
    return f"{value:.2g}"


def _range(spread: Sequence[float]) -> str:
    """A figure with its spread over the rounds: ``4.1 [3.9-4.2]``."""
    median, least, most = spread
    return f"{_number(median)} [{_number(least)}-{_number(most)}]"


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _spread(values: Sequence[int], number: int) -> list[int]:
    """Picks the first, the last and what lies between, at most ``number``."""
    if len(values) <= number:
        return list(values)
    step = (len(values) - 1) / (number - 1)
    return [values[round(place * step)] for place in range(number)]
