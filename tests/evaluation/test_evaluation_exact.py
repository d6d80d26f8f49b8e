"""Exact search against a full sort, and recall that forgives ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluation.exact as exact
import faults
from evaluation import exact_search, recall_at_k


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 60),
    queries=st.integers(1, 5),
    k=st.integers(1, 70),
    block=st.integers(1, 64),
    seed=st.integers(0, 2**16),
)
def test_any_blocking_equals_a_full_sort(count: int, queries: int, k: int, block: int, seed: int) -> None:
    # Small whole numbers give exact scores with many ties, so the order by row is checked too.
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (count, 4)).astype(np.float32)
    asked = rng.integers(-2, 3, (queries, 4)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BLOCK_ROWS", block)
        patch.setattr(exact, "_QUERY_BLOCK", 2)
        rows, scores = exact_search(vectors, asked, k)
    all_scores = asked @ vectors.T
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(scores, np.take_along_axis(all_scores, order, axis=1))


def test_recall_counts_rows_and_ties_but_neither_padding_nor_repeats() -> None:
    truth, best = np.array([[0, 1, 2, 3]]), np.array([[0.9, 0.8, 0.7, 0.5]], np.float32)

    def recall(rows: list[int], scores: list[float]) -> float:
        return recall_at_k(np.array([rows]), np.array([scores], np.float32), truth, best)

    assert recall([0, 1, 2, 3], [0.9, 0.8, 0.7, 0.5]) == 1.0
    assert recall([0, 1, 2, 9], [0.9, 0.8, 0.7, 0.5]) == 1.0  # row 9 ties with the fourth
    assert recall([0, 1, 2, 9], [0.9, 0.8, 0.7, 0.4999]) == 0.75
    assert recall([0, 0, 0, 0], [0.9, 0.9, 0.9, 0.9]) == 0.25
    assert recall([0, -1, -1, -1], [0.9, np.inf, np.inf, np.inf]) == 0.25
    assert recall([], []) == 0.0


def test_recall_never_passes_one_when_many_tie() -> None:
    truth, best = np.array([[0, 1]]), np.array([[1.0, 1.0]], np.float32)
    assert recall_at_k(np.array([[5, 6, 7]]), np.ones((1, 3), np.float32), truth, best) == 1.0


def test_bad_shapes_are_refused() -> None:
    vectors = np.zeros((3, 4), np.float32)
    with pytest.raises(faults.InvalidInput, match="k:"):
        exact_search(vectors, vectors, 0)
    with pytest.raises(faults.InvalidInput, match="queries:"):
        exact_search(vectors, np.zeros((1, 5), np.float32), 1)
    rows, scores = np.zeros((1, 2), np.int64), np.zeros((1, 2), np.float32)
    with pytest.raises(faults.InvalidInput):
        recall_at_k(rows, scores[:, :1], rows, scores)
    with pytest.raises(faults.InvalidInput):
        recall_at_k(rows, scores, rows[:0], scores[:0])
