"""Verdicts follow from figures, and from nothing else."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.experiments.claims import Claim, Criterion, Outcome, Samples, Verdict, judge, verdict_of
from benchmarks.experiments.evidence import Missing
from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.rows.comparing import (
    compare,
    compare_gains,
    number,
    one_arm,
    pick,
    smallest_step,
    steps,
    textual,
    visual,
)
from benchmarks.experiments.rows.criteria import NO_LOSS, above, below, exactly, within
from evaluation.bootstrap import Interval


class Known:
    """Evidence that a test writes down."""

    def __init__(self, **arms: list[Findings]) -> None:
        self._arms = arms

    def of(self, arm: str, measure: str) -> list[Findings]:
        if arm not in self._arms:
            raise Missing(f"{measure} of arm {arm}: 0 of 2 seeds (not run yet)")
        return self._arms[arm]


def seeds(*values: list[float], deciding: list[int] | None = None) -> list[Findings]:
    return [
        {"r10": np.array(one), "deciding": np.array(deciding or [0] * len(one)), "top": np.zeros(3)}
        for one in values
    ]


def outcome(claim: Claim, **arms: list[Findings]) -> Outcome:
    return judge(claim, Known(**arms), resamples=200)  # type: ignore[arg-type]


BETTER = compare("new > old", "retrieval", pick("r10"), "new", "old", above())


def test_a_difference_in_the_stated_direction_is_met() -> None:
    found = outcome(
        BETTER, new=seeds([0.8, 0.9, 0.7], [0.9, 0.8, 0.8]), old=seeds([0.1, 0.3, 0.2], [0.2, 0.2, 0.1])
    )
    assert found.verdict is Verdict.MET
    assert found.interval is not None
    assert found.interval.estimate == pytest.approx(np.mean([0.6, 2 / 3]))
    assert found.shown == {"new": pytest.approx(0.8166667), "old": pytest.approx(0.1833333)}
    assert found.by_seed == (pytest.approx(0.6), pytest.approx(2 / 3))


def test_the_other_direction_is_not_met() -> None:
    found = outcome(BETTER, new=seeds([0.1, 0.2]), old=seeds([0.8, 0.9]))
    assert found.verdict is Verdict.NOT_MET


def test_queries_without_a_value_are_left_out_on_both_sides() -> None:
    found = outcome(BETTER, new=seeds([0.5, np.nan, 0.5]), old=seeds([0.4, 0.0, np.nan]))
    assert found.interval is not None
    assert found.interval.units == 1


def test_what_was_not_measured_is_open_with_the_reason() -> None:
    found = outcome(BETTER, new=seeds([0.5]))
    assert (found.verdict, found.interval) == (Verdict.OPEN, None)
    assert "old" in found.reason


@pytest.mark.parametrize("value", [[], [np.nan]])
def test_nothing_to_compare_is_open(value: list[float]) -> None:
    found = outcome(BETTER, new=seeds(value), old=seeds(value))
    assert found.verdict is Verdict.OPEN


def test_an_undefined_statistic_is_open() -> None:
    claim = Claim("", (), lambda _: Samples([np.ones(3)], lambda rows: float("nan")), above())  # noqa: ARG005
    assert outcome(claim).verdict is Verdict.OPEN


@pytest.mark.parametrize(
    ("criterion", "low", "high", "holds"),
    [
        (above(), 0.01, 0.2, True),
        (above(), 0.0, 0.2, False),
        (above(0.6), 0.59, 0.8, False),
        (below(), -0.2, -0.01, True),
        (below(1e-5), 0.0, 2e-5, False),
        (within(0.05), -0.04, 0.04, True),
        (within(0.05), -0.04, 0.06, False),
        (NO_LOSS, -0.1, 0.0, True),
        (NO_LOSS, -0.1, -0.01, False),
        (exactly(0), 0.0, 0.0, True),
        (exactly(0), 0.0, 1.0, False),
    ],
)
def test_criteria(criterion: Criterion, low: float, high: float, holds: bool) -> None:
    assert criterion.holds(Interval((low + high) / 2, low, high, 5, 100)) is holds


@pytest.mark.parametrize(
    ("verdicts", "of_row"),
    [
        ([Verdict.MET, Verdict.MET], Verdict.MET),
        ([Verdict.MET, Verdict.OPEN], Verdict.OPEN),
        ([Verdict.OPEN, Verdict.NOT_MET], Verdict.NOT_MET),
        ([], Verdict.OPEN),
    ],
)
def test_a_row_is_as_good_as_its_weakest_claim(verdicts: list[Verdict], of_row: Verdict) -> None:
    assert verdict_of([Outcome(BETTER, verdict) for verdict in verdicts]) is of_row


def test_gains_are_compared_between_groups_of_queries() -> None:
    claim = compare_gains(
        "",
        "retrieval",
        "new",
        "old",
        pick("r10", visual),
        pick("r10", textual),
        ("visual", "textual"),
        above(),
    )
    kinds = [0, 0, 1, 1, 2]
    found = outcome(
        claim,
        new=seeds([0.9, 0.8, 0.5, 0.5, 0.0], deciding=kinds),
        old=seeds([0.2, 0.1, 0.5, 0.4, 1.0], deciding=kinds),
    )
    assert found.interval is not None
    assert found.interval.estimate == pytest.approx(0.7 - 0.05)
    assert found.shown == {"visual": pytest.approx(0.7), "textual": pytest.approx(0.05)}


def test_two_figures_of_one_arm() -> None:
    claim = one_arm("", "any", "new", pick("r10"), lambda one: one["r10"] - 0.2, ("a", "b"), above())
    assert outcome(claim, new=seeds([0.5, 0.6])).verdict is Verdict.MET


def test_a_number_a_seed() -> None:
    claim = number("", "any", "new", "wrong", exactly(0))
    assert outcome(claim, new=[{"wrong": np.array(0)}, {"wrong": np.array(0)}]).verdict is Verdict.MET
    assert outcome(claim, new=[{"wrong": np.array(0)}, {"wrong": np.array(2)}]).verdict is Verdict.NOT_MET


def levels(means: list[float]) -> list[Findings]:
    noise = np.random.default_rng(0).normal(0, 0.01, 50)
    return [{"weights": np.array(means)[:, None] + noise} for _ in range(2)]


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([0.5, 0.4, 0.3, 0.2], Verdict.MET),
        ([0.5, 0.4, 0.45, 0.2], Verdict.NOT_MET),
        ([0.2, 0.3, 0.4, 0.5], Verdict.NOT_MET),
    ],
)
def test_a_figure_moves_with_every_level_or_not(means: list[float], verdict: Verdict) -> None:
    claim = steps("falls", "damaged", "new", "weights", -1, above())
    assert outcome(claim, new=levels(means)).verdict is verdict


def test_the_smallest_step_is_of_the_means() -> None:
    rise: Callable[[np.ndarray], float] = smallest_step
    assert rise(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]])) == 1.0
