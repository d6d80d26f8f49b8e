"""The two towers' promises: unit vectors that only their own row decides, and honest modality weights."""

import pytest
import torch
from support.tiny_shop import SIZE, tiny_checkpoint
from torch import Tensor

from towers.fusion.gate import ModalityGate
from towers.towers import ProductTower, QueryTower

TEXT = torch.tensor([[2, 20, 21, 3]])
OTHER_TEXT = torch.tensor([[2, 30, 31, 3]])
YES, NO = torch.tensor([[True]]), torch.tensor([[False]])


@pytest.fixture(scope="module")
def tower() -> ProductTower:
    return tiny_checkpoint().towers.product


@pytest.fixture(scope="module")
def query_tower() -> QueryTower:
    return tiny_checkpoint().towers.query


def picture(seed: int, views: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, views, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


def embed(
    tower: ProductTower, ids: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return tower(ids, torch.ones_like(ids), pixels, has_text, has_image)


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_a_query_is_a_unit_vector_that_padding_and_neighbours_do_not_move(query_tower: QueryTower) -> None:
    with torch.no_grad():
        alone = query_tower(TEXT, torch.ones_like(TEXT))
        ids = torch.tensor([[2, 20, 21, 3, 0, 0], [2, 5, 6, 7, 8, 3]])
        mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
        together = query_tower(ids, mask)
    assert alone.dtype == torch.float32
    assert_same(together.norm(dim=1), torch.ones(2))
    assert_same(together[:1], alone)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_a_product_is_a_unit_vector_that_padding_and_neighbours_do_not_move(tower: ProductTower) -> None:
    alone, weights = embed(tower, TEXT, picture(1), YES, YES)
    ids = torch.tensor([[2, 20, 21, 3, 0, 0], [2, 5, 6, 7, 8, 3], [2, 3, 0, 0, 0, 0]])
    mask = (ids > 0).long()
    pixels = torch.cat([picture(1), picture(2), torch.zeros_like(picture(1))])
    with torch.no_grad():
        vectors, all_weights = tower(
            ids,
            mask,
            pixels,
            torch.tensor([[True], [True], [False]]),
            torch.tensor([[True], [True], [False]]),
        )
    assert_same(vectors.norm(dim=1), torch.ones(3))
    assert_same(vectors[:1], alone)
    assert_same(all_weights[:1], weights)
    assert torch.isfinite(vectors).all()  # even of the product that has nothing


def test_the_weights_of_both_modalities_are_in_use_and_sum_to_one(tower: ProductTower) -> None:
    _, weights = embed(tower, TEXT, picture(1), YES, YES)
    assert weights.shape == (1, 2)
    assert weights.min() > 0.0
    assert_same(weights.sum(dim=1), torch.ones(1))
    _, of_another = embed(tower, OTHER_TEXT, picture(2), YES, YES)
    assert (weights - of_another).abs().max() > 1e-4  # the gate looks at the product


def test_a_missing_picture_weighs_exactly_nothing_and_its_pixels_have_no_say(tower: ProductTower) -> None:
    vector, weights = embed(tower, TEXT, torch.zeros_like(picture(1)), YES, NO)
    with_junk, _ = embed(tower, TEXT, picture(1), YES, NO)
    assert weights.tolist() == [[1.0, 0.0]]
    assert torch.equal(vector, with_junk)
    with_picture, _ = embed(tower, TEXT, picture(1), YES, YES)
    assert (vector - with_picture).abs().max() > 1e-3


def test_a_missing_text_weighs_exactly_nothing_and_its_tokens_have_no_say(tower: ProductTower) -> None:
    vector, weights = embed(tower, torch.tensor([[2, 3]]), picture(1), NO, YES)
    with_junk, _ = embed(tower, OTHER_TEXT, picture(1), NO, YES)
    assert weights.tolist() == [[0.0, 1.0]]
    assert torch.equal(vector, with_junk)
    with_text, _ = embed(tower, OTHER_TEXT, picture(1), YES, YES)
    assert (vector - with_text).abs().max() > 1e-3


def test_a_strong_gate_cannot_overrule_an_absence() -> None:
    gate = ModalityGate(4)
    with torch.no_grad():
        gate.score.bias.copy_(torch.tensor([-200.0, 200.0]))
        vector = torch.nn.functional.normalize(torch.ones(1, 4))
        weights = gate(vector, vector, torch.tensor([[1.0, 0.0]]))
    assert weights.tolist() == [[1.0, 0.0]]


def test_an_untrained_gate_is_even() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(3, 8))
    assert ModalityGate(8)(vectors, -vectors, torch.ones(3, 2)).tolist() == [[0.5, 0.5]] * 3


def test_pictures_count_in_any_order_and_absent_ones_not_at_all() -> None:
    tower = tiny_checkpoint(views=2).towers.product
    both = picture(1, views=2)
    vector, _ = embed(tower, TEXT, both, YES, torch.tensor([[True, True]]))
    swapped, _ = embed(tower, TEXT, both.flip(1), YES, torch.tensor([[True, True]]))
    assert_same(vector, swapped)
    first_only, weights = embed(tower, TEXT, both, YES, torch.tensor([[True, False]]))
    assert weights[0, 1] > 0
    assert (vector - first_only).abs().max() > 1e-4
    blank = both.clone()
    blank[:, 1] = 0
    assert_same(embed(tower, TEXT, blank, YES, torch.tensor([[True, False]]))[0], first_only)


def test_the_encoders_own_width_is_kept_where_it_is_the_joint_one() -> None:
    encoder = tiny_checkpoint().towers.query.encoder
    assert isinstance(QueryTower(encoder, dim=32).project, torch.nn.Identity)
    assert isinstance(QueryTower(encoder, dim=16).project, torch.nn.Linear)
