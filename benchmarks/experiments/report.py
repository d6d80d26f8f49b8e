"""The tables: docs/experiments/README.md, generated, and the raw numbers beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.experiments import plots
from benchmarks.experiments.claims import Outcome, Row, Verdict, verdict_of
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.results import Run, facts_of, raw_results
from benchmarks.experiments.store import Store
from catalog.atomic import make_folder, write_atomically

__all__ = ["write_report"]

_REAL = """# Experiments on a real catalogue

The rows that a real catalogue can answer, with the verdicts that the figures gave. Written by
`make experiments DATA=dir`. How to read it: [the experiments on the sample shop](../README.md).
"""
_OPENING = """# Experiments

What the four published systems claim, measured on the sample shop with small towers: which directions come
out, and which do not. Written by `make experiments`; whatever it says was computed, the verdicts too.

Each direction was stated in the code before anything ran (`benchmarks/experiments/rows`). A claim is met when
its 95 % interval lies where its criterion says. Intervals come from a paired hierarchical bootstrap: seeds
first, then queries (or products, or pairs) within a seed (`evaluation/bootstrap.py`). A seed is another shop,
other first weights and other batches. Everything is measured on a second shop whose products no training
saw, unless a row says otherwise. Synthetic data show that a mechanism works, not that shoppers benefit.
"""


def write_report(run: Run, store: Store, out: Path) -> None:
    """Writes README.md, results.json and the plots into ``out``."""
    make_folder(out)
    facts = facts_of(run, store)
    pictures = plots.draw(run.rows, run.outcomes, Evidence(store, range(run.seeds), {}), out)
    _write(out / "README.md", "\n".join(_document(run, facts, pictures)) + "\n")
    _write(out / "results.json", json.dumps(raw_results(run, facts, store), indent=1, allow_nan=False) + "\n")


def _document(run: Run, facts: Mapping[str, Any], pictures: Mapping[str, str]) -> list[str]:
    lines = [_REAL if facts["catalogue"] else _OPENING]
    if run.quick:
        lines.append("**A quick run: a check of the program. Its figures mean nothing.**\n")
    lines += [
        f"{facts['date']}, commit {facts['commit']}, {facts['cpu']}, Python {facts['python']}, torch "
        f"{facts['torch']}; {run.seeds} seed{'s' * (run.seeds > 1)}, "
        f"{facts['arms']} arms, {facts['cpu_minutes']} minutes of processor time to train them and "
        f"{facts['measuring_minutes']} to measure them (one thread each), {store_sizes(facts)}."
        + _codes(facts),
        "## All rows\n",
        "| row | question | verdict | again |",
        "|---|---|---|---|",
    ]
    for row in run.rows:
        verdict = verdict_of(run.outcomes[row.id])
        lines.append(
            f"| [{row.id}](#{row.id.lower()}) | {row.question} | {_shown(verdict)} | "
            f"`make experiments {'DATA=dir ' * bool(facts['catalogue'])}ROWS={row.id}` |"
        )
    if "differences" in pictures:
        lines += ["", f"![All differences with their intervals]({pictures['differences']})"]
    for row in run.rows:
        lines += _section(row, run.outcomes[row.id], pictures)
    lines += ["", "## Arms", "", "| arm | what it is | weights | CPU seconds a seed |", "|---|---|---|---|"]
    lines += [
        f"| {arm['name']} | {arm['says']} | {arm['parameters']} | {arm['cpu_s']} |"
        for arm in facts["trained"]
    ]
    return lines


def _codes(facts: Mapping[str, Any]) -> str:
    """Warns where the arms were not all trained by the same code."""
    count = len(facts["towers_code"])
    return f" The arms were trained by {count} states of the towers' code.\n" if count > 1 else "\n"


def store_sizes(facts: Mapping[str, Any]) -> str:
    """Says what was learned from and measured on."""
    if facts["catalogue"]:
        return f"the catalogue {facts['catalogue']}"
    return f"shops of {facts['train_products']} and {facts['test_products']} products"


def _section(row: Row, outcomes: Sequence[Outcome], pictures: Mapping[str, str]) -> list[str]:
    lines = ["", f"## {row.id}", "", f"{row.question} **{_shown(verdict_of(outcomes))}**", ""]
    if row.note:
        lines += [row.note, ""]
    lines += [
        "| stated direction | figures | estimate [95 %] | criterion | verdict |",
        "|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        figures = ", ".join(f"{name} {_number(value)}" for name, value in outcome.shown.items())
        lines.append(
            f"| {outcome.claim.says} | {figures} | {_interval(outcome)} | "
            f"{outcome.claim.criterion.says} | {_verdict(outcome)} |"
        )
    if row.tried:
        lines += ["", f"Tried: {row.tried}"]
    if row.id in pictures:
        lines += ["", f"![{row.id}]({pictures[row.id]})"]
    return lines


def _interval(outcome: Outcome) -> str:
    if outcome.interval is None:
        return ""
    one = outcome.interval
    return f"{_number(one.estimate)} [{_number(one.low)}, {_number(one.high)}]"


def _verdict(outcome: Outcome) -> str:
    reason = f": {outcome.reason}".replace("|", "/") if outcome.reason else ""
    return _shown(outcome.verdict) + reason


def _shown(verdict: Verdict) -> str:
    return str(verdict)


def _number(value: float) -> str:
    if value != value:
        return "–"
    if value and abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda stream: stream.write(text.encode("utf-8")))
