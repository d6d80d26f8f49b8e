"""Same-style measures against ones written down by hand, and the ways in which they could flatter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import faults
from evaluation.colour_histogram import colour_histograms
from evaluation.composed import composed, composed_sweep
from evaluation.duplicates import duplicate_pairs, precision_recall_curve, threshold_for
from evaluation.same_style import cross_view_matrix, found_by_group, found_by_score


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_rank_first_and_mrr_are_those_of_a_list_read_by_eye() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.2, 0.9, 0.5], [0.3, 0.2, 0.1]])
    right = np.array([[True, False, False], [True, False, True], [False, False, False]])
    found = found_by_score(scores, right, k=2)
    np.testing.assert_array_equal(found.ranks, [1, 2])  # the third asks for nothing that is there
    assert (found.first, found.within_k, found.reciprocal_rank, found.queries) == (0.5, 1.0, 0.75, 2)
    assert found.to_json() == {"recall_at_1": 0.5, "recall_at_2": 1.0, "mrr": 0.75, "queries": 2}


def test_a_model_that_maps_all_to_one_point_scores_nothing() -> None:
    found = found_by_score(np.ones((2, 50)), np.eye(2, 50, dtype=bool))
    assert (found.first, found.within_k) == (0.0, 0.0)


def test_without_a_question_the_mean_is_no_number() -> None:
    found = found_by_score(np.ones((1, 3)), np.zeros((1, 3), dtype=bool))
    assert found.queries == 0
    assert np.isnan([found.first, found.within_k, found.reciprocal_rank]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 2**16), st.booleans())
def test_a_product_never_finds_itself_nor_its_own_supplier(
    count: int, groups: int, seed: int, by_supplier: bool
) -> None:
    random = np.random.default_rng(seed)
    vectors = unit(count, 4, seed)
    style = [f"s{place}" if place else "" for place in random.integers(0, groups + 1, count)]
    seller = [f"c{place}" if place else "" for place in random.integers(0, 3, count)]
    ranks = []
    for one in range(count):
        shown = [
            other
            for other in np.argsort(-(vectors @ vectors[one]))
            if other != one and not (by_supplier and seller[one] and seller[other] == seller[one])
        ]
        right = [place for place, other in enumerate(shown, 1) if style[one] and style[other] == style[one]]
        ranks += right[:1]
    found = found_by_group(
        vectors,
        vectors,
        style,
        style,
        own=np.arange(count),
        query_suppliers=seller if by_supplier else None,
        corpus_suppliers=seller if by_supplier else None,
    )
    np.testing.assert_array_equal(found.ranks, ranks)


def test_nine_cells_and_a_view_asks_and_offers_only_what_it_has() -> None:
    groups = ["a", "a", "b", "b", "c", "c"]
    views = {"i": unit(6, 8, 1), "t": np.repeat(unit(3, 8, 2), 2, axis=0), "m": unit(6, 8, 3)}
    shown = np.array([True, True, True, True, True, False])
    cells = cross_view_matrix(views, groups, present={"i": shown})
    assert list(cells) == [(one, other) for one in "itm" for other in "itm"]
    assert cells["t", "t"].first == 1.0  # equal vectors within a group, and itself is hidden
    # The product without a picture asks nothing, and its partner finds nobody among the pictures.
    assert cells["i", "i"].queries == 4
    assert cells["i", "m"].queries == 5
    assert cells["m", "i"].queries == 5
    by_hand = found_by_group(views["i"][:5], views["m"], groups[:5], groups, own=np.arange(5))
    np.testing.assert_array_equal(cells["i", "m"].ranks, by_hand.ranks)


def test_composing_goes_from_the_words_to_the_picture() -> None:
    images, texts = unit(3, 5, 1), unit(3, 5, 2)
    np.testing.assert_allclose(composed(images, texts, 1.0), images, atol=1e-6)
    np.testing.assert_allclose(composed(images, texts, 0.0), texts, atol=1e-6)
    middle = composed(images, texts, 0.5)
    np.testing.assert_allclose(np.linalg.norm(middle, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose((middle * images).sum(1), (middle * texts).sum(1), atol=1e-5)
    with pytest.raises(faults.InvalidInput, match="image_share"):
        composed(images, texts, 1.5)


def test_a_sweep_finds_the_mixture_where_neither_half_is_enough() -> None:
    shape, colour = np.eye(4, dtype=np.float32)[:2], np.eye(4, dtype=np.float32)[2:]
    corpus = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]], np.float32) / np.sqrt(2)
    wanted = np.array([[False, True, False, False], [False, False, True, False]])  # the other colour
    sweep = composed_sweep(shape, colour[::-1], corpus, wanted, [0.0, 0.5, 1.0])
    assert [found.first for found in sweep.values()] == [0.0, 1.0, 0.0]
    # The right ones hidden, there is nothing to ask for.
    assert composed_sweep(shape, colour, corpus, wanted, [0.5], hidden=wanted)[0.5].queries == 0


def test_pairs_are_counted_once_and_within_their_scope() -> None:
    vectors, groups = unit(5, 4, 0), ["a", "a", "b", "", ""]
    scores, same = duplicate_pairs(vectors, groups)
    assert len(scores) == 10
    assert same.sum() == 1  # two empty labels are two unknowns
    assert scores[same][0] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    scores, same = duplicate_pairs(vectors, groups, scopes=["x", "y", "y", "y", "x"])
    assert (len(scores), same.sum()) == (4, 0)


def test_the_curve_counts_ties_together_and_the_threshold_keeps_its_word() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.5, 0.4], np.float32)
    same = np.array([True, True, False, False, True])
    curve = precision_recall_curve(scores, same)
    np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.5, 0.4])
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 1 / 2, 3 / 5])
    np.testing.assert_allclose(curve.recall, [1 / 3, 2 / 3, 2 / 3, 1])
    assert curve.precision_at_recall(0.5) == pytest.approx(2 / 3)
    point = threshold_for(curve, 0.6)
    assert point is not None
    passed = scores >= point.threshold
    assert same[passed].mean() == pytest.approx(point.precision) == pytest.approx(0.6)
    assert (point.recall, passed.sum()) == (1.0, 5)
    assert threshold_for(precision_recall_curve(scores, ~same), 0.9) is None
    with pytest.raises(faults.InvalidInput, match="0 of 5 the same"):
        precision_recall_curve(scores, np.zeros(5, bool))


def test_a_histogram_is_the_share_of_each_colour() -> None:
    pixels = np.zeros((2, 2, 2, 3), np.uint8)
    pixels[0, 0] = (255, 31, 32)  # cell (7, 0, 1), half of the picture
    histograms = colour_histograms(pixels)
    expected = np.zeros((2, 512), np.float32)
    expected[0, 7 * 64 + 1] = expected[0, 0] = np.sqrt(0.5)
    expected[1, 0] = 1.0
    np.testing.assert_allclose(histograms, expected, atol=1e-6)


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(faults.InvalidInput, match="one shape"):
        found_by_score(np.ones((2, 3)), np.ones((3, 2), bool))
    with pytest.raises(faults.InvalidInput, match="groups"):
        found_by_group(unit(2, 3, 0), unit(2, 3, 0), ["a"], ["a", "b"])
    with pytest.raises(faults.InvalidInput, match="k:"):
        found_by_score(np.ones((1, 1)), np.ones((1, 1), bool), k=0)
