"""The same-style threshold: chosen on training styles, measured on the others."""

import numpy as np
import pytest

from catalog.held_out import is_held_out
from catalog.schema import Product
from evaluation.duplicates import duplicate_pairs, precision_recall_curve, threshold_for
from indexing.same_style import PRECISION, calibrated, calibrated_views

STYLES = [f"style-{number}" for number in range(200)]
TRAINED = [style for style in STYLES if not is_held_out(style)]
HELD_OUT = [style for style in STYLES if is_held_out(style)]


def shop(styles, each: int = 3, noise: float = 0.35, seed: int = 0):
    """Products near their style's centre, and their vectors."""
    random = np.random.default_rng(seed)
    products, vectors = [], []
    for style in styles:
        centre = random.standard_normal(16)
        for number in range(each):
            products.append(Product(f"{style}-{number}", style_group=style))
            vectors.append(centre / np.linalg.norm(centre) + noise * random.standard_normal(16) / 4)
    found = np.array(vectors, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True), products


def test_the_threshold_is_the_lowest_of_the_wanted_precision_on_training_styles():
    vectors, products = shop(TRAINED[:30] + HELD_OUT[:12], noise=0.9)
    part = calibrated(vectors, products)
    trained = [row for row, product in enumerate(products) if not is_held_out(product.style_group)]
    groups = [products[row].style_group for row in trained]
    curve = precision_recall_curve(*duplicate_pairs(vectors[trained], groups))
    point = threshold_for(curve, PRECISION)
    assert part.threshold == pytest.approx(point.threshold, abs=1e-6)
    assert part.precision == pytest.approx(point.precision, abs=1e-6)
    assert part.recall == pytest.approx(point.recall, abs=1e-6)
    assert part.wanted_precision == PRECISION == 0.8
    assert PRECISION <= part.precision < 1, "or the wanted precision would decide nothing here"
    assert part.pairs == 2 * 30 * 3, "each pair is seen from both sides"


def test_held_out_styles_are_measured_and_decide_nothing():
    vectors, products = shop(TRAINED[:30])
    alone = calibrated(vectors, products)
    assert (alone.held_out_precision, alone.held_out_recall) == (None, None)
    others, more = shop(HELD_OUT[:20], noise=2.0, seed=5)
    both = calibrated(np.concatenate([vectors, others]), [*products, *more])
    assert (both.threshold, both.precision, both.recall) == (alone.threshold, alone.precision, alone.recall)
    assert both.held_out_recall < alone.recall, "their products lie far apart"
    assert 0 <= both.held_out_precision <= 1


@pytest.mark.parametrize(
    "styles",
    [HELD_OUT[:20], [""] * 20],
    ids=["only held-out styles", "no styles"],
)
def test_without_training_styles_there_is_no_threshold(styles):
    assert calibrated(*shop(styles)) is None


def test_styles_of_one_product_tell_nothing():
    vectors, products = shop(TRAINED[:30], each=1)
    assert calibrated(vectors, products) is None


def test_where_no_threshold_is_precise_enough_it_is_the_most_precise_one():
    """Two styles on top of each other: half of what is near is wrong."""
    vectors, products = shop(TRAINED[:1], each=4, noise=0.0)
    products += [Product(f"x{number}", style_group=TRAINED[1]) for number in range(4)]
    part = calibrated(np.concatenate([vectors, vectors]), products)
    assert part.precision == pytest.approx(3 / 7)
    assert part.recall == 1.0


def test_a_product_without_this_half_is_left_out():
    vectors, products = shop(TRAINED[:10])
    vectors[::3] = 0
    part = calibrated(vectors, products)
    assert part.pairs == 2 * 10, "one pair of the two that are left of each style"


def test_each_view_has_its_own_and_one_without_pairs_has_none():
    vectors, products = shop(TRAINED[:20], noise=0.3)
    far, _ = shop(TRAINED[:20], noise=1.0)
    parts = calibrated_views({"both": vectors, "text": far, "image": np.zeros_like(vectors)}, products)
    assert set(parts) == {"both", "text"}
    assert parts["both"].threshold != parts["text"].threshold


def test_a_large_shop_is_sampled_by_its_seed(monkeypatch):
    monkeypatch.setattr("indexing.same_style._MOST_ASKED", 30)
    vectors, products = shop(TRAINED[:40], noise=0.9)
    first, again = calibrated(vectors, products), calibrated(vectors, products)
    assert first == again
    assert first.pairs == 2 * 30, "each of the drawn products has two of its style"
    assert calibrated(vectors, products, seed=1) != first
