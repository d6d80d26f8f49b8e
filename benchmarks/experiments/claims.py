"""What a row claims before anything runs, and how its verdict follows from the figures.

A claim states a direction in words and as a criterion on an interval. Nobody writes a verdict: it is
computed, and a claim whose figures are not all there is "not measurable yet", with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy.typing as npt

from benchmarks.experiments.evidence import Evidence, Missing
from evaluation.bootstrap import Interval, Statistic, bootstrap, mean

__all__ = ["Claim", "Criterion", "Outcome", "Row", "Samples", "Verdict", "judge", "verdict_of"]


class Verdict(StrEnum):
    """Of a claim or of a row."""

    MET = "met"
    NOT_MET = "not met"
    OPEN = "not measurable yet"


@dataclass(frozen=True)
class Criterion:
    """When an interval supports a claim.

    Attributes:
        says: for the table.
        holds: of the interval.
        bound: what the interval is compared with.
    """

    says: str
    holds: Callable[[Interval], bool]
    bound: float = 0.0


@dataclass(frozen=True)
class Samples:
    """What a claim's interval is made of.

    Attributes:
        seeds: for each seed the units, float[n, ...].
        statistic: of one seed's units.
        shown: mean figures for the table, by arm or condition.
    """

    seeds: Sequence[npt.NDArray[Any]]
    statistic: Statistic = mean
    shown: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One stated direction.

    Attributes:
        says: the direction, in words.
        needs: (arm, measure) pairs that it is computed from.
        samples: computes it.
        criterion: when it holds.
    """

    says: str
    needs: tuple[tuple[str, str], ...]
    samples: Callable[[Evidence], Samples]
    criterion: Criterion


@dataclass(frozen=True)
class Row:
    """One row of papers.md, section 6.

    Attributes:
        id: as there.
        question: what one wants to know.
        claims: the stated directions; the row is met if all are.
        note: what is smaller or otherwise than in the row's text.
        tried: what was tried where a direction did not come out.
    """

    id: str
    question: str
    claims: tuple[Claim, ...]
    note: str = ""
    tried: str = ""


@dataclass(frozen=True)
class Outcome:
    """A claim with its figures.

    Attributes:
        claim: which.
        verdict: computed.
        interval: None where there is none.
        shown: see ``Samples``.
        by_seed: the statistic of each seed.
        reason: why it is not measurable yet.
    """

    claim: Claim
    verdict: Verdict
    interval: Interval | None = None
    shown: Mapping[str, float] = field(default_factory=dict)
    by_seed: tuple[float, ...] = ()
    reason: str = ""


def judge(claim: Claim, evidence: Evidence, resamples: int) -> Outcome:
    """Computes one claim."""
    try:
        found = claim.samples(evidence)
    except Missing as missing:
        return Outcome(claim, Verdict.OPEN, reason=str(missing))
    empty = sum(len(units) == 0 for units in found.seeds)
    if empty or not found.seeds:
        return Outcome(
            claim, Verdict.OPEN, reason=f"{empty} of {len(found.seeds)} seeds have nothing to compare"
        )
    defined = [found.statistic(units) for units in found.seeds]
    if any(value != value for value in defined):
        return Outcome(claim, Verdict.OPEN, reason="the statistic is not defined for some seed")
    interval = bootstrap(found.seeds, found.statistic, resamples=resamples)
    verdict = Verdict.MET if claim.criterion.holds(interval) else Verdict.NOT_MET
    return Outcome(claim, verdict, interval, found.shown, tuple(defined))


def verdict_of(outcomes: Sequence[Outcome]) -> Verdict:
    """A row is met if all of its claims are, and not met as soon as one is not."""
    verdicts = {outcome.verdict for outcome in outcomes}
    for one in (Verdict.NOT_MET, Verdict.OPEN):
        if one in verdicts:
            return one
    return Verdict.MET if outcomes else Verdict.OPEN
