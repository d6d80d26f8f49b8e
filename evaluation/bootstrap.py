"""Bootstrap intervals for results that were measured over several seeds.

Two things are left to chance in an experiment: how a training went (its seed) and which queries
happened to be asked. An interval that looks at the queries alone is too narrow, since another
training would move all of them together. So the resampling is hierarchical: first seeds are drawn
with replacement, then within each drawn seed its units (queries, products, pairs).

Percentile intervals (Efron, 1979). With as few as five seeds the upper level has few distinct draws,
and such an interval is a little narrower than its name says: read a bound close to 0 with care.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["Interval", "bootstrap", "mean", "paired_bootstrap"]

Statistic = Callable[[NDArray[Any]], float]
"""Of the rows of one seed's units, float[n, ...] -> float; NaN where they do not define it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval.

    Attributes:
        estimate: the mean over the seeds of the statistic of each seed's units.
        low: lower bound.
        high: upper bound.
        seeds: number of seeds.
        units: number of units of all seeds together.
    """

    estimate: float
    low: float
    high: float
    seeds: int
    units: int


def mean(rows: NDArray[Any]) -> float:
    """The mean over the first axis of float[n]."""
    return float(np.mean(rows))


def bootstrap(
    seeds: Sequence[NDArray[Any]],
    statistic: Statistic = mean,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Estimates a statistic and its interval from the units of several seeds.

    Args:
        seeds: for each seed its units, float[n, ...]; n may differ.
        statistic: of one seed's units.
        resamples: how often to resample. Those in which the statistic is NaN for some drawn seed
            are left out of the interval.
        level: share of the resampled estimates that the interval holds.
        seed: of the resampling; equal arguments give equal intervals.

    Raises:
        faults.InvalidInput: no seed, a seed without units, or a statistic that is NaN to begin with.
    """
    if not seeds or any(len(units) == 0 for units in seeds):
        raise faults.InvalidInput(
            "every seed needs at least one unit",
            field="seeds",
            value=[len(units) for units in seeds],
            fix="leave out what was not measured.",
        )
    found = [statistic(units) for units in seeds]
    if not np.isfinite(found).all():
        raise faults.InvalidInput(
            "the statistic is not defined for these units", field="seeds", value=found, fix="give more units."
        )
    random = np.random.default_rng(seed)
    if len(seeds) == 1 and len(seeds[0]) == 1:
        low = high = found[0]
    else:
        draws = _means(seeds, random, resamples) if statistic is mean else None
        if draws is None:
            draws = np.array([_once(seeds, statistic, random) for _ in range(resamples)])
        kept = draws[np.isfinite(draws)]
        tail = 100 * (1 - level) / 2
        low, high = (float(bound) for bound in np.percentile(kept, [tail, 100 - tail]))
    return Interval(float(np.mean(found)), low, high, len(seeds), sum(len(units) for units in seeds))


def paired_bootstrap(
    first: Sequence[NDArray[Any]],
    second: Sequence[NDArray[Any]],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Estimates the mean of ``first - second``, unit by unit, so that what both share cancels out.

    Args:
        first: for each seed float[n].
        second: the same seeds and units, in the same order.
        resamples: see ``bootstrap``.
        level: see ``bootstrap``.
        seed: see ``bootstrap``.

    Raises:
        faults.InvalidInput: the units do not belong together, or there are none.
    """
    shapes = [units.shape for units in first], [units.shape for units in second]
    if shapes[0] != shapes[1]:
        raise faults.InvalidInput(
            "pairs need the same seeds and units on both sides",
            field="second",
            value=shapes,
            fix="measure both on the same queries.",
        )
    differences = [one - other for one, other in zip(first, second, strict=True)]
    return bootstrap(differences, resamples=resamples, level=level, seed=seed)


def _means(seeds: Sequence[NDArray[Any]], random: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    """The resampled means, without a Python call for each."""
    chosen = random.integers(0, len(seeds), (resamples, len(seeds)))
    means = np.empty(chosen.shape)
    for place, units in enumerate(seeds):
        wanted = chosen == place
        drawn = random.integers(0, len(units), (int(wanted.sum()), len(units)))
        means[wanted] = units[drawn].mean(axis=1)
    averages: NDArray[np.float64] = means.mean(axis=1)
    return averages


def _once(seeds: Sequence[NDArray[Any]], statistic: Statistic, random: np.random.Generator) -> float:
    chosen = random.integers(0, len(seeds), len(seeds))
    values = []
    for place in chosen.tolist():
        units = seeds[place]
        values.append(statistic(units[random.integers(0, len(units), len(units))]))
    return float(np.mean(values))
