"""How a training went, as numbers: the losses by stage and term, and what was measured along the way.

A long stage is thinned by taking the mean of each few steps: picking steps would keep their noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_LARGEST_CURVE = 2000
"""Points of a term in a stage; a screen has no more columns."""


@dataclass(frozen=True)
class Point:
    """A value after a step."""

    step: int
    """From 1, over all stages."""
    value: float


@dataclass(frozen=True)
class Curves:
    """The numbers of one training, from its first step, also where it was interrupted."""

    losses: Mapping[str, Mapping[str, Sequence[float]]]
    """By stage, in their order, and by term: the weighted term's value at every step of the stage."""
    metrics: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    """By name: what was measured, seldomer than every step."""


@dataclass(frozen=True)
class StageCurve:
    """One stage, thinned."""

    name: str
    first: int
    """Its first step, counted from 1 over all stages."""
    steps: int
    every: int
    """Steps that one point is the mean of."""
    terms: Mapping[str, Sequence[Point]]
    """By term. A point stands at the last of its steps."""
    total: Sequence[Point]
    """The sum of the terms: what was descended."""


def stage_curves(curves: Curves, most: int = _LARGEST_CURVE) -> list[StageCurve]:
    """Returns the stages in their order, each term with at most ``most`` points."""
    found, first = [], 1
    for name, terms in curves.losses.items():
        steps = max(map(len, terms.values()), default=0)
        every = max(1, math.ceil(steps / most))
        total = [math.fsum(values) for values in zip(*terms.values(), strict=True)]
        # By name: a training that was interrupted has its terms from a file, in the file's order.
        thin = {term: list(_thinned(terms[term], first, every)) for term in sorted(terms)}
        found.append(StageCurve(name, first, steps, every, thin, list(_thinned(total, first, every))))
        first += steps
    return found


def _thinned(values: Sequence[float], first: int, every: int) -> Iterator[Point]:
    for start in range(0, len(values), every):
        part = values[start : start + every]
        yield Point(first + start + len(part) - 1, math.fsum(part) / len(part))


def curves_json(curves: Curves) -> dict[str, Any]:
    """Returns what ``curves.json`` holds; docs/training.md explains it."""
    return {
        "stages": [
            {
                "name": stage.name,
                "first_step": stage.first,
                "steps": stage.steps,
                "steps_a_point": stage.every,
                "step": [point.step for point in stage.total],
                "loss": _values(stage.total),
                "terms": {term: _values(points) for term, points in stage.terms.items()},
            }
            for stage in stage_curves(curves)
        ],
        "metrics": {
            name: {"step": [point.step for point in points], "value": _values(points)}
            for name, points in curves.metrics.items()
        },
    }


def _values(points: Sequence[Point]) -> list[float]:
    return [float(f"{point.value:.6g}") for point in points]
