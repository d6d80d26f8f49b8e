"""The part of docs/index.md that is written from the result file: every figure in it stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["BEGIN", "END", "render", "updated"]

BEGIN, END = "<!-- filter-recall: begin -->", "<!-- filter-recall: end -->"


def updated(document: str, result: dict[str, Any]) -> str:
    """Returns the document with everything between its markers made anew.

    Raises:
        ValueError: the document has lost its markers.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{render(result)}\n{END}{after}"


def render(result: dict[str, Any]) -> str:
    """Returns what was measured as Markdown."""
    parts = [_recall(result["recall"])] if "recall" in result else []
    overheads = list(result.get("overhead", {}).values())
    return "\n\n".join([*parts, *([_overhead(overheads)] if overheads else [])]) + "\n"


def _recall(part: dict[str, Any]) -> str:
    kinds = list(dict.fromkeys(row["index"] for row in part["rows"]))
    by_case: dict[tuple[str, float, int], dict[str, dict[str, Any]]] = {}
    for row in part["rows"]:
        by_case.setdefault((row["filter"], row["share"], row["k"]), {})[row["index"]] = row
    lines = []
    for (name, share, k), found in by_case.items():
        cells = [
            f"{found[kind]['recall']:.4f} | {found[kind]['worst']:.3f} | {found[kind]['ms']:.2f}"
            for kind in kinds
        ]
        lines.append(f"| {name} | {share:.1%} | {k} | {' | '.join(cells)} |")
    least = min(row["recall"] for row in part["rows"])
    full = all(row["full"] for row in part["rows"])
    return "\n".join(
        [
            f"`{part['command']}`: {part['vectors']:,} vectors of {part['dim']}, {part['queries']} queries,"
            f" {part['date']}. Least recall {least:.4f}; {'every' if full else 'NOT every'} answer had all"
            " the hits that there were.",
            "",
            _heading(["filter", "allowed", "k", *(f"{kind} {what}" for kind in kinds for what in _COLUMNS)]),
            *lines,
        ]
    )


_COLUMNS = ("recall", "worst query", "ms")


def _overhead(parts: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"| {part['vectors']:,} x {part['dim']} | {row['batch']} | {row['bare_us']:.0f}"
        f" | {row['nprobe']}: {row['bare_recall']:.4f}, {row['recall']:.4f} | {_spread(row['ratio'])}"
        f" | {row['fewer']}: {_spread(row['ratio_fewer'])}"
        f" | {'no number' if row['more'] is None else row['more']}: {_spread(row['ratio_more'])} |"
        for part in parts
        for row in part["rows"]
    ]
    columns = ["vectors", "batch", "bare FAISS us/query", "nprobe: recall@100 of bare, ours", "ratio"]
    columns += ["ours at bare's recall, nprobe: ratio", "bare at our recall, nprobe: ratio"]
    commands = "; ".join(f"`{part['command']}` ({part['date']})" for part in parts)
    return "\n".join([commands + ":", "", _heading(columns), *lines])


def _heading(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def _spread(values: Sequence[float] | None) -> str:
    if values is None:
        return "–"
    median, least, most = values
    return f"{median:.2f} [{least:.2f}-{most:.2f}]"
