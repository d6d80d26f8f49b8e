"""Cells, tabs and duplicates of vectors that are made to order."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.experiments.measures.same_style import cells, duplicates, tabs
from catalog.sample_shop.styles import make_offers

OFFERS = make_offers(300, seed=2)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_label(labels: list[str], noise: float) -> np.ndarray:
    """Vectors that are equal for equal labels, but for noise."""
    random = np.random.default_rng(0)
    directions = {label: random.normal(size=32) for label in sorted(set(labels))}
    return unit(
        np.array([directions[label] for label in labels]) + noise * random.normal(size=(len(labels), 32))
    )


@pytest.fixture(scope="module")
def subject() -> Any:
    """Both modalities know the version, words the style, and pictures nothing."""
    count = len(OFFERS)
    views = SimpleNamespace(
        fused=by_label([str(offer.version) for offer in OFFERS], 0.05),
        text=by_label([offer.style.group for offer in OFFERS], 0.05),
        image=unit(np.random.default_rng(1).normal(size=(count, 32))),
    )
    return SimpleNamespace(
        has_text=np.ones(count, dtype=np.bool_),
        pictures=SimpleNamespace(has_image=np.ones((count, 1), dtype=np.bool_)),
        products=views,
        shop=SimpleNamespace(offers=OFFERS),
    )


def test_a_view_that_knows_the_version_finds_it_and_one_that_knows_nothing_does_not(subject: Any) -> None:
    found = cells(subject)
    first = found["first"].mean(axis=2)
    assert first[2, 2] == 1.0
    assert first[0, 0] < 5 * found["chance"].mean() + 0.05
    assert first[0, 0] < first[1, 1] < first[2, 2]  # a style has several versions
    assert found["overlap"].shape == (2, found["first"].shape[2])


def test_only_products_with_a_counterpart_at_another_supplier_ask(subject: Any) -> None:
    sellers: dict[Any, set[str]] = {}
    for offer in OFFERS:
        sellers.setdefault(offer.version, set()).add(offer.supplier)
    asking = sum(len(sellers[offer.version]) > 1 for offer in OFFERS)
    assert cells(subject)["first"].shape == (3, 3, asking)


def test_a_threshold_splits_what_the_vectors_separate(subject: Any) -> None:
    found = tabs(subject)
    assert len(found["same"]) > 20
    assert found["same"].mean() > 0.75  # calibrated for .8
    assert found["similar"].mean() < 0.05


def test_double_listings_are_told_by_vectors_that_know_them(subject: Any) -> None:
    found = duplicates(subject)
    image, text, both = found["precision"]
    assert both > 0.9 > text > image
    assert found["curve"].shape == (3, 41)
