"""Builds the claims that most rows consist of: one arm against another, query by query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.claims import Claim, Criterion, Samples
from benchmarks.experiments.evidence import Evidence
from benchmarks.experiments.measures.findings import Findings

__all__ = [
    "Pick",
    "apart",
    "compare",
    "compare_gains",
    "number",
    "one_arm",
    "paired",
    "pick",
    "smallest_step",
    "steps",
    "textual",
    "visual",
]

Pick: TypeAlias = Callable[[Findings], npt.NDArray[Any]]
"""Takes float[n] out of an arm's findings, the same units for every arm; NaN where a unit has no value."""


def pick(name: str, where: Callable[[Findings], npt.NDArray[np.bool_]] | None = None) -> Pick:
    """Takes an array by name; units outside ``where`` get NaN."""

    def take(findings: Findings) -> npt.NDArray[Any]:
        values = findings[name].astype(np.float64)
        return values if where is None else np.where(where(findings), values, np.nan)

    return take


def visual(findings: Findings) -> npt.NDArray[np.bool_]:
    """Queries that the picture decides."""
    return np.equal(findings["deciding"], 0)


def textual(findings: Findings) -> npt.NDArray[np.bool_]:
    """Queries that the words decide."""
    return np.equal(findings["deciding"], 1)


def compare(
    says: str,
    measure: str,
    value: Pick,
    better: str,
    worse: str,
    criterion: Criterion,
) -> Claim:
    """Claims something about ``better - worse``, unit by unit."""

    def samples(evidence: Evidence) -> Samples:
        sides = [[value(one) for one in evidence.of(arm, measure)] for arm in (better, worse)]
        return paired(sides, (better, worse))

    return Claim(says, ((better, measure), (worse, measure)), samples, criterion)


def one_arm(
    says: str, measure: str, arm: str, first: Pick, second: Pick, names: tuple[str, str], criterion: Criterion
) -> Claim:
    """Claims something about two figures of the same arm, ``first - second``, unit by unit."""

    def samples(evidence: Evidence) -> Samples:
        found = evidence.of(arm, measure)
        return paired([[take(one) for one in found] for take in (first, second)], names)

    return Claim(says, ((arm, measure),), samples, criterion)


def compare_gains(
    says: str,
    measure: str,
    better: str,
    worse: str,
    first: Pick,
    second: Pick,
    names: tuple[str, str],
    criterion: Criterion,
) -> Claim:
    """Claims that ``better - worse`` is larger in one group of units than in another (not paired)."""

    def samples(evidence: Evidence) -> Samples:
        pairs = zip(evidence.of(better, measure), evidence.of(worse, measure), strict=True)
        seeds = [(first(one) - first(other), second(one) - second(other)) for one, other in pairs]
        return apart(seeds, names)

    return Claim(says, ((better, measure), (worse, measure)), samples, criterion)


def apart(seeds: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]], names: tuple[str, str]) -> Samples:
    """The difference between the means of two groups of units.

    Args:
        seeds: for each seed float[n] twice, NaN where a unit is not of the group.
        names: of the groups.
    """
    rows = [np.stack(pair, axis=1) for pair in seeds]
    rows = [part[np.isfinite(part).any(axis=1)] for part in rows]
    shown = {name: _mean([part[:, place] for part in rows]) for place, name in enumerate(names)}
    return Samples(rows, _difference_of_means, shown)


def number(says: str, measure: str, arm: str, name: str, criterion: Criterion) -> Claim:
    """Claims something about one number a seed; the interval is over seeds alone."""

    def samples(evidence: Evidence) -> Samples:
        values = [np.atleast_1d(one[name]).astype(np.float64) for one in evidence.of(arm, measure)]
        return Samples(values, shown={name: _mean(values)})

    return Claim(says, ((arm, measure),), samples, criterion)


def steps(says: str, measure: str, arm: str, name: str, sign: int, criterion: Criterion) -> Claim:
    """Claims that a figure moves with every level, in the direction of ``sign``.

    The findings hold float[levels, n] under ``name``; the interval is of the smallest step.
    """

    def samples(evidence: Evidence) -> Samples:
        found = [one[name].T for one in evidence.of(arm, measure)]
        means = np.mean([np.nanmean(rows, axis=0) for rows in found], axis=0)
        shown = {f"level {place}": float(value) for place, value in enumerate(means)}
        return Samples([sign * rows[np.isfinite(rows).all(axis=1)] for rows in found], smallest_step, shown)

    return Claim(says, ((arm, measure),), samples, criterion)


def smallest_step(rows: npt.NDArray[Any]) -> float:
    """The smallest rise between neighbouring columns' means, of float[n, levels]; above 0 if all rise."""
    return float(np.diff(rows.mean(axis=0)).min())


def _difference_of_means(rows: npt.NDArray[Any]) -> float:
    columns = [rows[:, place][np.isfinite(rows[:, place])] for place in (0, 1)]
    if not all(len(column) for column in columns):
        return float("nan")
    return float(columns[0].mean() - columns[1].mean())


def _mean(parts: Sequence[npt.NDArray[Any]]) -> float:
    """The mean over seeds of the means over what is there; NaN where a seed has nothing."""
    kept = [part[np.isfinite(part)] for part in parts]
    return float(np.mean([part.mean() for part in kept])) if all(len(part) for part in kept) else float("nan")


def paired(sides: Sequence[Sequence[npt.NDArray[Any]]], names: Sequence[str]) -> Samples:
    """The difference of two figures, unit by unit.

    Args:
        sides: two, each for every seed float[n]; units without a value on either side are left out.
        names: of the sides.
    """
    seeds: list[npt.NDArray[Any]] = []
    kept: tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]]] = ([], [])
    for one, other in zip(*sides, strict=True):
        both = np.isfinite(one) & np.isfinite(other)
        seeds.append(one[both] - other[both])
        kept[0].append(one[both])
        kept[1].append(other[both])
    return Samples(seeds, shown={name: _mean(parts) for name, parts in zip(names, kept, strict=True)})
