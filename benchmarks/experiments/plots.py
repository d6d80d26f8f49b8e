"""Pictures of the results: all differences with their intervals, and curves of single rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.experiments.arm_list import BANKS, DUPLICATES
from benchmarks.experiments.claims import Outcome, Row, Verdict
from benchmarks.experiments.evidence import Evidence, Missing
from benchmarks.experiments.measures.composed import SHARES
from benchmarks.experiments.measures.damage import NOISE_LEVELS, WORDS_KEPT
from benchmarks.experiments.measures.same_style import VIEWS

__all__ = ["draw"]

_COLOURS = {Verdict.MET: "#2a7d4f", Verdict.NOT_MET: "#b3372f"}
_METADATA = {"Software": None}
"""Equal results give equal files: no version of the drawing library in them."""


def draw(
    rows: Sequence[Row], outcomes: Mapping[str, Sequence[Outcome]], evidence: Evidence, out: Path
) -> dict[str, str]:
    """Draws what can be drawn, and returns the files' names by row; ``differences`` is of all rows."""
    files = {}
    figure = _differences(rows, outcomes)
    if figure is not None:
        files["differences"] = _save(figure, out / "differences.png")
    for name, plot in _PLOTS.items():
        if any(row.id == name for row in rows):
            try:
                files[name] = _save(plot(evidence), out / f"{name.lower()}.png")
            except Missing:
                continue  # the table says why
    return files


def _save(figure: Figure, path: Path) -> str:
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata=_METADATA)
    return path.name


def _differences(rows: Sequence[Row], outcomes: Mapping[str, Sequence[Outcome]]) -> Figure | None:
    """All claims of a size to be shown together, each with the bound that it is compared with."""
    shown = [
        (row.id, outcome)
        for row in rows
        for outcome in outcomes[row.id]
        if outcome.interval is not None and max(abs(outcome.interval.low), abs(outcome.interval.high)) < 0.98
    ]
    if not shown:
        return None
    figure = Figure(figsize=(9, 1 + 0.22 * len(shown)))
    axes = figure.add_subplot()
    for place, (_, outcome) in enumerate(shown):
        assert outcome.interval is not None
        colour = _COLOURS[outcome.verdict]
        axes.plot([outcome.interval.low, outcome.interval.high], [place, place], color=colour, linewidth=2)
        axes.plot([outcome.interval.estimate], [place], "o", color=colour, markersize=4)
        axes.plot([outcome.claim.criterion.bound], [place], "|", color="black", markersize=7)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{name}: {one.claim.says}" for name, one in shown], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("estimate and 95 % interval (green: met, red: not met; black: the bound)")
    return figure


def _lines(
    x: Sequence[float], lines: Mapping[str, Sequence[npt.NDArray[Any]]], x_label: str, y_label: str
) -> Figure:
    """Lines with one thin copy a seed; each is for every seed float[len(x)]."""
    figure = Figure(figsize=(6, 3.6))
    axes = figure.add_subplot()
    for place, (name, seeds) in enumerate(lines.items()):
        colour = f"C{place}"
        for one in seeds:
            axes.plot(x, one, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(x, np.mean(seeds, axis=0), color=colour, marker="o", label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(fontsize=8)
    return figure


def _gate(evidence: Evidence) -> Figure:
    """Image weight against the share of clicks that the picture decided, by kind of article."""
    figure = Figure(figsize=(6, 3.6))
    axes = figure.add_subplot()
    found = evidence.of("base", "weights")
    for decider, name in enumerate(("picture decides", "words decide", "both")):
        points = []
        for one in found:
            for article in np.unique(one["article"][one["decides"] == decider]):
                rows = one["article"] == article
                points.append((np.nanmean(one["image_share"][rows]), one["image_weight"][rows].mean()))
        axes.plot(*zip(*points, strict=True), "o", label=name, alpha=0.6)
    axes.set_xlabel("share of an article's clicks that the picture decided")
    axes.set_ylabel("mean image weight")
    axes.legend(fontsize=8)
    return figure


def _damage(evidence: Evidence) -> Figure:
    found = evidence.of("base", "damaged")
    lines = {
        "noise in the picture": [one["by_noise"].mean(axis=1) for one in found],
        "words cut": [one["by_cut"].mean(axis=1) for one in found],
    }
    noise = "/".join(f"{level:g}" for level in NOISE_LEVELS)
    cuts = "/".join(f"{share:g}" for share in WORDS_KEPT)
    return _lines(range(5), lines, f"level (noise {noise}; words kept {cuts})", "mean image weight")


def _duplicates(evidence: Evidence) -> Figure:
    def seeds(suffix: str) -> list[npt.NDArray[Any]]:
        arms = [f"duplicates_{round(100 * share)}{suffix}" for share in DUPLICATES]
        values = [[np.nanmean(one["r10"]) for one in evidence.of(arm, "retrieval")] for arm in arms]
        return list(np.array(values).T)

    lines = {"no mask": seeds(""), "keyword mask": seeds("_masked")}
    return _lines(DUPLICATES, lines, "share of queries with a twin", "R@10")


def _banks(evidence: Evidence) -> Figure:
    arms = ["base", *(f"bank_{size}" for size in BANKS)]
    values = [[np.nanmean(one["r10"]) for one in evidence.of(arm, "retrieval")] for arm in arms]
    return _lines([0, *BANKS], {"memory bank": list(np.array(values).T)}, "vectors in the bank", "R@10")


def _growth(evidence: Evidence) -> Figure:
    arms = (f"bank_{BANKS[-1]}", "batch_half")
    found = {arm: evidence.of(arm, "growth") for arm in arms}
    sizes = found[arms[0]][0]["corpus"].tolist()
    lines = {arm: [np.nanmean(one["r10"], axis=1) for one in parts] for arm, parts in found.items()}
    return _lines(sizes, lines, "products in the corpus", "R@10")


def _precision(evidence: Evidence) -> Figure:
    found = evidence.of("same_style", "duplicates")
    recalls = np.linspace(0, 1, found[0]["curve"].shape[1]).tolist()
    lines = {view: [one["curve"][place] for one in found] for place, view in enumerate(VIEWS)}
    return _lines(recalls, lines, "recall of double listings", "precision")


def _cells(evidence: Evidence) -> Figure:
    table = np.mean([one["first"].mean(axis=2) for one in evidence.of("same_style", "cells")], axis=0)
    figure = Figure(figsize=(3.6, 3.2))
    axes = figure.add_subplot()
    axes.imshow(table, vmin=0, vmax=1, cmap="Greens")
    for row, column in np.ndindex(table.shape):
        axes.text(column, row, f"{table[row, column]:.2f}", ha="center", va="center")
    axes.set_xticks(range(3), VIEWS)
    axes.set_yticks(range(3), VIEWS)
    axes.set_xlabel("corpus")
    axes.set_ylabel("query")
    axes.set_title("R@1", fontsize=10)
    return figure


def _composed(evidence: Evidence) -> Figure:
    found = evidence.of("same_style", "compose")
    lines = {"words' colour": [one["coloured"].mean(axis=1) for one in found]}
    return _lines(SHARES, lines, "share of the picture in the query", "share of the first ten")


_PLOTS: Mapping[str, Callable[[Evidence], Figure]] = {
    "A2": _gate,
    "A3": _damage,
    "A7": _duplicates,
    "B3": _banks,
    "B4": _growth,
    "D2": _precision,
    "D4": _cells,
    "D5": _composed,
}
