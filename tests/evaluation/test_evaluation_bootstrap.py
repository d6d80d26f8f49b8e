"""Intervals over seeds and units: known values, coverage, and what is refused."""

import numpy as np
import pytest

import faults
from evaluation.bootstrap import bootstrap, mean, paired_bootstrap


def test_the_estimate_is_the_mean_over_seeds_not_over_units() -> None:
    interval = bootstrap([np.zeros(90), np.ones(10)])
    assert interval.estimate == pytest.approx(0.5)
    assert (interval.seeds, interval.units) == (2, 100)


def test_units_that_do_not_vary_have_no_interval() -> None:
    interval = bootstrap([np.full(7, 0.25)] * 3)
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_the_fast_way_for_means_agrees_with_the_general_one() -> None:
    random = np.random.default_rng(1)
    seeds = [random.normal(place, 1, 40) for place in range(4)]
    fast = bootstrap(seeds, resamples=4000)
    general = bootstrap(seeds, lambda rows: float(np.mean(rows)), resamples=4000)
    assert fast.estimate == pytest.approx(general.estimate)
    assert fast.low == pytest.approx(general.low, abs=0.05)
    assert fast.high == pytest.approx(general.high, abs=0.05)


def test_one_seed_gives_the_textbook_interval_of_a_mean() -> None:
    units = np.random.default_rng(2).normal(0, 1, 400)
    interval = bootstrap([units], resamples=4000)
    error = units.std(ddof=1) / 20
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_seeds_that_differ_widen_the_interval() -> None:
    random = np.random.default_rng(3)
    alike = [random.normal(0, 1, 100) for _ in range(5)]
    apart = [units + shift for units, shift in zip(alike, (-2, -1, 0, 1, 2), strict=True)]
    assert width(apart) > 3 * width(alike)


def width(seeds: list[np.ndarray]) -> float:
    interval = bootstrap(seeds)
    return interval.high - interval.low


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    inside = 0
    for trial in range(200):
        shifts = random.normal(0, 0.3, 12)
        interval = bootstrap([random.normal(shift, 1, 30) for shift in shifts], resamples=300, seed=trial)
        inside += interval.low <= 0 <= interval.high
    assert 0.86 <= inside / 200 <= 0.99


def test_pairs_cancel_what_both_sides_share() -> None:
    random = np.random.default_rng(5)
    hardness = [random.normal(0, 5, 50) for _ in range(3)]
    better = [units + 0.1 + random.normal(0, 0.01, 50) for units in hardness]
    interval = paired_bootstrap(better, hardness)
    assert 0.08 < interval.low < interval.estimate < interval.high < 0.12


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    seeds = [np.random.default_rng(6).normal(0, 1, 30)]
    assert bootstrap(seeds, seed=1) == bootstrap(seeds, seed=1)
    assert bootstrap(seeds, seed=1) != bootstrap(seeds, seed=2)


def test_resamples_without_the_statistic_are_left_out() -> None:
    rows = np.array([0.0, 1.0, 1.0])

    def undefined_without_a_zero(sample: np.ndarray) -> float:
        return float(sample.mean()) if (sample == 0).any() else float("nan")

    interval = bootstrap([rows], undefined_without_a_zero)
    assert np.isfinite([interval.low, interval.high]).all()


@pytest.mark.parametrize("seeds", [[], [np.ones(3), np.ones(0)]])
def test_nothing_to_resample_is_refused(seeds: list[np.ndarray]) -> None:
    with pytest.raises(faults.InvalidInput, match="at least one unit"):
        bootstrap(seeds)


def test_a_statistic_that_is_undefined_is_refused() -> None:
    with pytest.raises(faults.InvalidInput, match="not defined"):
        bootstrap([np.array([np.nan])], mean)


def test_pairs_of_different_queries_are_refused() -> None:
    with pytest.raises(faults.InvalidInput, match="same seeds and units"):
        paired_bootstrap([np.ones(3)], [np.ones(4)])
