"""Spearman and AUC against values worked out by hand, and against their definitions."""

import math

import numpy as np
import pytest

from evaluation.association import auc, ranks, spearman


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks(np.array([10.0, 20.0, 20.0, 5.0])).tolist() == [2.0, 3.5, 3.5, 1.0]


def test_spearman_of_a_worked_example() -> None:
    # The usual classroom example (IQ and hours of TV): rho = 1 - 6 * 194 / (10 * 99) = -29/165.
    iq = np.array([106, 100, 86, 101, 99, 103, 97, 113, 112, 110])
    hours = np.array([7, 27, 2, 50, 28, 29, 20, 12, 6, 17])
    assert spearman(iq, hours) == pytest.approx(-29 / 165)


def test_spearman_sees_order_only() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.9])
    assert spearman(values, np.exp(values)) == pytest.approx(1.0)
    assert spearman(values, -values) == pytest.approx(-1.0)


def test_spearman_with_ties() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(4.5 / math.sqrt(22.5))


def test_spearman_with_a_constant_is_undefined() -> None:
    assert math.isnan(spearman(np.ones(4), np.arange(4)))


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 5, 60).astype(float), random.random(60) < 0.4
    pairs = [(one > other) + (one == other) / 2 for one in scores[positive] for other in scores[~positive]]
    assert auc(scores, positive) == pytest.approx(np.mean(pairs))


def test_auc_at_its_ends() -> None:
    positive = np.array([False, False, True, True])
    assert auc(np.array([1.0, 2.0, 3.0, 4.0]), positive) == 1.0
    assert auc(np.array([4.0, 3.0, 2.0, 1.0]), positive) == 0.0
    assert auc(np.zeros(4), positive) == 0.5
    assert math.isnan(auc(np.arange(4.0), np.ones(4, dtype=bool)))
