"""Cosine tails: one bad row must show."""

from __future__ import annotations

import numpy as np
import pytest

import faults
from evaluation import cosine_tails


def test_one_turned_vector_shows_in_the_tail_and_not_in_the_mean() -> None:
    a = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32)
    b = a * 3  # length does not matter
    b[17] = -a[17]
    tails = cosine_tails(a, b)
    assert tails.minimum == pytest.approx(-1.0)
    assert tails.worst_rows[0] == 17
    assert tails.mean == pytest.approx(0.998, abs=1e-4)
    assert tails.p1 == pytest.approx(1.0)
    assert tails.not_finite_rows == ()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_the_worst_and_spoils_no_mean(poison: float) -> None:
    a = np.eye(4, dtype=np.float32)
    b = a.copy()
    b[2, 0] = poison
    tails = cosine_tails(a, b)
    assert tails.not_finite_rows == (2,)
    assert tails.worst_rows[0] == 2
    assert tails.minimum == -1.0
    assert tails.mean == pytest.approx(0.5)


def test_zero_vectors() -> None:
    tails = cosine_tails(np.zeros((2, 3)), np.array([[0.0, 0, 0], [1, 0, 0]]))
    assert (tails.mean, tails.minimum, tails.worst_rows[0]) == (0.5, 0.0, 1)


def test_shapes_must_agree() -> None:
    with pytest.raises(faults.InvalidInput):
        cosine_tails(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(faults.InvalidInput):
        cosine_tails(np.zeros((0, 3)), np.zeros((0, 3)))
