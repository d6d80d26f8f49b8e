"""The loss against one written down in numpy, row by row."""

import numpy as np
import pytest
import torch

from towers.objectives.softmax import in_batch_softmax, modality_terms
from towers.towers import ProductViews

SCALE = 7.0
TARGET = np.array([0, 0, 1, 2, 3, 3])
KNOWN = np.zeros((6, 4), dtype=bool)
KNOWN[np.arange(6), TARGET] = True
KNOWN[0, 2] = KNOWN[3, 0] = KNOWN[4, 1] = True  # clicked for the same query, though drawn for another


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


QUERIES, PRODUCTS = unit(6, 5, seed=1), unit(4, 5, seed=2)


def reference(queries: np.ndarray, products: np.ndarray, target: np.ndarray, known: np.ndarray) -> float:
    """-log p of the right one; whoever is known to fit as well is no competitor."""
    to_products, from_products = [], []
    for i, row in enumerate(target):
        rivals = [j for j in range(len(products)) if j == row or not known[i, j]]
        scores = {j: SCALE * float(queries[i] @ products[j]) for j in rivals}
        to_products.append(np.log(sum(np.exp(s) for s in scores.values())) - scores[row])
        rivals = [q for q in range(len(queries)) if q == i or not known[q, row]]
        scores = {q: SCALE * float(queries[q] @ products[row]) for q in rivals}
        from_products.append(np.log(sum(np.exp(s) for s in scores.values())) - scores[i])
    return float((np.mean(to_products) + np.mean(from_products)) / 2)


def loss(
    known: np.ndarray = KNOWN, queries: np.ndarray = QUERIES, products: np.ndarray = PRODUCTS
) -> torch.Tensor:
    return in_batch_softmax(
        torch.from_numpy(queries),
        torch.from_numpy(products),
        torch.from_numpy(TARGET),
        torch.from_numpy(known),
        SCALE,
    )


def test_the_loss_is_the_one_written_down() -> None:
    assert loss().item() == pytest.approx(reference(QUERIES, PRODUCTS, TARGET, KNOWN), rel=1e-5)


def test_known_positives_make_a_difference() -> None:
    only_targets = np.zeros_like(KNOWN)
    only_targets[np.arange(6), TARGET] = True
    without = loss(only_targets).item()
    assert without == pytest.approx(reference(QUERIES, PRODUCTS, TARGET, only_targets), rel=1e-5)
    assert loss().item() < without - 0.01


def test_a_product_that_fits_is_not_pushed_away() -> None:
    target, known = torch.tensor([0, 1]), torch.tensor([[True, True], [False, True]])
    queries, products = torch.tensor(unit(2, 5, 3)), torch.tensor(unit(2, 5, 4), requires_grad=True)
    rows = in_batch_softmax(queries[:1], products, target[:1], known[:1], SCALE)
    rows.backward()
    assert products.grad is not None
    assert products.grad.abs().max() == 0.0  # the only query fits both: nothing to learn


def test_the_other_direction_counts_half() -> None:
    """One product for all queries: finding it is trivial, so only its finding its queries is left."""
    queries, target, known = unit(3, 5, 5), np.zeros(3, dtype=np.int64), np.zeros((3, 1), dtype=bool)
    found = in_batch_softmax(
        torch.from_numpy(queries),
        torch.from_numpy(PRODUCTS[:1]),
        torch.from_numpy(target),
        torch.from_numpy(known),
        SCALE,
    ).item()
    assert found == pytest.approx(reference(queries, PRODUCTS[:1], target, known), rel=1e-5)
    assert found > 0.1


TEXT_VIEW, IMAGE_VIEW = unit(4, 5, seed=8), unit(4, 5, seed=9)


def alone(has_text: list[bool], has_image: list[bool]) -> list[float]:
    views = ProductViews(
        *map(torch.from_numpy, (PRODUCTS, np.full((4, 2), 0.5, np.float32), TEXT_VIEW, IMAGE_VIEW))
    )
    flags = (torch.tensor(has_text), torch.tensor(has_image))
    rest = (torch.from_numpy(TARGET), torch.from_numpy(KNOWN), SCALE)
    return [term.item() for term in modality_terms(torch.from_numpy(QUERIES), views, *flags, *rest)]


def test_each_modality_learns_alone_from_the_products_that_have_it() -> None:
    has_text, has_image = [True, True, True, True], [True, False, True, True]
    asking = np.array(has_image)[TARGET]
    place = np.cumsum(has_image) - 1
    kept = np.flatnonzero(has_image)
    image_part = reference(QUERIES[asking], IMAGE_VIEW[kept], place[TARGET[asking]], KNOWN[asking][:, kept])
    text_part = reference(QUERIES, TEXT_VIEW, TARGET, KNOWN)
    assert alone(has_text, has_image) == pytest.approx([text_part, image_part], rel=1e-5)


def test_without_a_second_product_the_single_terms_vanish() -> None:
    assert alone([False] * 4, [False, True, False, False]) == [0.0, 0.0]


def test_a_margin_is_taken_off_the_right_products_cosine_alone() -> None:
    """One query, two products: the loss of moved scores, by hand."""
    queries, products = torch.from_numpy(QUERIES[:1]), torch.from_numpy(PRODUCTS[:2])
    known = torch.tensor([[True, False]])
    found = in_batch_softmax(queries, products, torch.tensor([0]), known, SCALE, margin=0.2).item()
    right, wrong = (SCALE * float(QUERIES[0] @ PRODUCTS[row]) for row in (0, 1))
    moved = right - 0.2 * SCALE
    assert found == pytest.approx((np.log(np.exp(moved) + np.exp(wrong)) - moved) / 2, rel=1e-5)
