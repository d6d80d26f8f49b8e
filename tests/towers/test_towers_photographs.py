"""Pairs of photographs of one product, their variations, and the stage that learns from them."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.tiny_shop import COLOURS, SIZE, tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe

from catalog.photographs import DecodedPhotographs
from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.data.examples import make_examples
from towers.data.material import Material
from towers.data.photographs import PairDrawing, Photographs
from towers.data.variations import Variations, varied
from towers.recipe import Recipe
from towers.stage_kinds.photographs import pair_loss, photographs_of, photographs_stage, with_photographs
from towers.stage_kinds.retrieval import retrieval_stage
from towers.stage_recipes import PhotographsRecipe, PhotographsStageRecipe, RetrievalStageRecipe
from towers.training.loop import run_stages
from towers.training.train import train

STILL = Variations(closest=1.0, turn=0.0, stretch=0.0, light=0.0, mirrored=0.0)
STAGE = PhotographsStageRecipe(kind="photographs", steps=30, batch=8, learning_rate=0.01, warmup=0)


def plain(*colours: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return np.stack([np.full((SIZE, SIZE, 3), colour, dtype=np.uint8) for colour in colours])


def shades(groups: int, each: int) -> Photographs:
    """Plain pictures of which the red channel tells the group and the green one the photograph."""
    pixels = plain(*[(group, photo, 0) for group in range(groups) for photo in range(each)])
    return Photographs(pixels, [f"g{group}" for group in range(groups) for _ in range(each)])


@pytest.fixture
def recipe() -> Recipe:
    return tiny_recipe()


@pytest.fixture
def towers(recipe: Recipe) -> Towers:
    torch.manual_seed(0)
    return build_towers(recipe, [product.title for product in tiny_catalogue().products] + list(COLOURS))


@pytest.fixture
def material(towers: Towers) -> Material:
    catalogue = tiny_catalogue()
    pictures = tiny_pictures(catalogue)
    examples = make_examples(catalogue, tiny_clicks(catalogue), pictures, towers.tokenizer, 12, 16)
    return Material(catalogue, examples)


# The pairs


def test_a_pair_is_two_different_photographs_of_one_product() -> None:
    photographs = shades(groups=6, each=3)
    for batch in photographs.pairs(PairDrawing(4, 20, seed=1), STILL):
        one, other = batch.pixels[:, 8, 8].chunk(2)
        assert torch.equal(one[:, 0], other[:, 0])
        assert (one[:, 1] != other[:, 1]).all()
        assert len(set(one[:, 0].tolist())) == 4


def test_a_single_photograph_is_its_own_other_and_is_varied_twice() -> None:
    random = np.random.default_rng(0)
    photographs = Photographs(
        random.integers(0, 255, (4, SIZE, SIZE, 3), dtype=np.uint8), ["a", "b", "c", "d"]
    )
    (batch,) = photographs.pairs(PairDrawing(4, 1, seed=1), Variations())
    one, other = batch.pixels.chunk(2)
    assert not torch.equal(one, other)
    (batch,) = photographs.pairs(PairDrawing(4, 1, seed=1), STILL)
    one, other = batch.pixels.float().chunk(2)
    # Even a full window may be moved by a twentieth; colours and order stay.
    assert (one.mean(dim=(1, 2)) - other.mean(dim=(1, 2))).abs().max() < 20


def test_batches_are_drawn_alike_and_can_begin_later() -> None:
    photographs = shades(groups=6, each=2)
    drawing = PairDrawing(4, 12, seed=3)
    every = list(photographs.pairs(drawing, Variations()))
    later = list(photographs.pairs(drawing, Variations(), skip=9))
    assert (len(every), len(later)) == (12, 3)
    for one, other in zip(every[9:], later, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.alike, other.alike)
    other_seed = next(photographs.pairs(dataclasses.replace(drawing, seed=4), Variations()))
    assert not torch.equal(every[0].pixels, other_seed.pixels)


@pytest.mark.parametrize(("several", "expected"), [(0.75, 6), (0.0, 0), (1.0, 8)])
def test_the_share_of_products_with_several_photographs(several: float, expected: int) -> None:
    groups = [f"two{number}" for number in range(10) for _ in range(2)] + [f"one{n}" for n in range(10)]
    pixels = plain(*[(number, 0, 255 if name.startswith("two") else 0) for number, name in enumerate(groups)])
    for batch in Photographs(pixels, groups).pairs(PairDrawing(8, 5, 0, several=several, together=1), STILL):
        assert int((batch.pixels[:8, 8, 8, 2] > 128).sum()) == expected


def test_where_one_kind_is_short_the_other_fills_up() -> None:
    batch = next(shades(groups=5, each=2).pairs(PairDrawing(9, 1, 0, several=0.2, together=1), STILL))
    assert len(batch.pixels) == 10


@pytest.mark.parametrize(("main", "least", "most"), [(1.0, 1.0, 1.0), (0.5, 0.5, 0.7), (0.0, 0.1, 0.3)])
def test_the_share_of_pairs_with_the_main_photograph(main: float, least: float, most: float) -> None:
    photographs = shades(groups=4, each=10)
    with_main = [
        (batch.pixels[:, 8, 8, 1].reshape(2, -1) == 0).any(dim=0).float().mean()
        for batch in photographs.pairs(PairDrawing(4, 60, 0, main=main), STILL)
    ]
    assert least <= np.mean(with_main) <= most


def test_look_alikes_by_colour_are_drawn_together() -> None:
    palette = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]
    names = [f"{colour}-{number}" for colour in range(4) for number in range(20)]
    pixels = plain(*[palette[int(name[0])] for name in names])
    pixels[:, 0, 0, 0] = np.arange(len(names))  # so that no two are the very same picture
    photographs = Photographs(pixels, names)
    for together, expected in ((4, {1}), (1, {2, 3, 4})):
        drawing = PairDrawing(4, 10, 0, together=together)
        different = [
            len({tuple(colour) for colour in batch.pixels[:, 8, 8].tolist()})
            for batch in photographs.pairs(drawing, STILL)
        ]
        assert set(different) <= expected


def test_a_batch_has_no_product_twice_and_is_full() -> None:
    photographs = shades(groups=7, each=2)
    for products, together in ((5, 4), (7, 3), (20, 2)):
        for batch in photographs.pairs(PairDrawing(products, 10, 0, together=together), STILL):
            drawn = batch.pixels[: len(batch.alike), 8, 8, 0].tolist()
            assert len(set(drawn)) == len(drawn) == min(products, 7)


def test_products_that_own_the_same_picture_are_no_negatives() -> None:
    red, blue, green = (plain(colour)[0] for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0)))
    photographs = Photographs(np.stack([red, blue, red, green]), ["a", "a", "b", "c"])
    expected = [[True, True, False], [True, True, False], [False, False, True]]
    assert photographs.alike(np.array([0, 1, 2])).tolist() == expected


def test_a_photograph_that_a_product_has_twice_counts_once() -> None:
    photographs = Photographs(plain((9, 9, 9), (9, 9, 9), (8, 8, 8)), ["a", "a", "b"])
    assert photographs.rows == ((0,), (2,))


def test_one_product_alone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one product alone"):
        Photographs(plain((1, 1, 1), (2, 2, 2)), ["a", "a"])
    with pytest.raises(InvalidInput, match="one product's name"):
        Photographs(plain((1, 1, 1), (2, 2, 2)), ["a"])


# The variations


def test_variations_keep_the_shape_and_nearly_the_colour() -> None:
    pixels = torch.from_numpy(plain(*[(200, 60, 30)] * 16))
    result = varied(pixels, Variations(light=0.05), np.random.default_rng(0))
    assert result.shape == pixels.shape
    assert result.dtype == torch.uint8
    middle = result[:, 6:10, 6:10].float()
    assert (middle - torch.tensor([200.0, 60.0, 30.0])).abs().max() < 30
    assert len({picture.numpy().tobytes() for picture in result}) == 16


def test_a_closer_window_shows_a_detail() -> None:
    pixels = plain(*[(255, 255, 255)] * 40)
    pixels[:, 4:12, 4:12] = 0
    near, far = (
        varied(torch.from_numpy(pixels), Variations(closest=closest, light=0), np.random.default_rng(1))
        for closest in (0.2, 1.0)
    )
    shares = [(result < 128).float().mean(dim=(1, 2, 3)) for result in (near, far)]
    assert shares[0].max() > 0.9  # nothing but the black square
    assert shares[1].max() < 0.5


def test_outside_of_a_picture_lies_white() -> None:
    black = torch.zeros(30, SIZE, SIZE, 3, dtype=torch.uint8)
    result = varied(black, Variations(closest=1.0, turn=0.5, light=0), np.random.default_rng(2))
    assert result.max() > 250


def test_some_are_mirrored() -> None:
    pixels = plain(*[(255, 255, 255)] * 40)
    pixels[:, :, : SIZE // 2] = 0
    still = dataclasses.replace(STILL, mirrored=0.5)
    result = varied(torch.from_numpy(pixels), still, np.random.default_rng(0))
    left = (result[:, 8, 2, 0] < 128).float().mean()
    assert 0.2 < left < 0.8


# The stage


def test_only_the_picture_half_learns_and_finds_the_other_photograph(
    recipe: Recipe, towers: Towers, material: Material
) -> None:
    before = {name: value.clone() for name, value in towers.product.state_dict().items()}
    losses = run_stages(
        [photographs_stage(STAGE, recipe, towers, material)], towers, lambda _: None, lambda _: None
    )[0].total
    changed = {
        name.split(".")[0]
        for name, value in towers.product.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"image_encoder", "project_image"}
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_catalogues_pictures_and_further_photographs_are_joined(material: Material) -> None:
    alone = photographs_of(material)
    assert len(alone.rows) == 12
    further = DecodedPhotographs(plain((1, 2, 3), (4, 5, 6)), ("mug-red", "elsewhere"))
    joined = photographs_of(dataclasses.replace(material, photographs=further))
    assert [len(rows) for rows in joined.rows] == [2] + [1] * 12
    main, other = joined.rows[0]
    assert joined.pixels[main, 0, 0].tolist() == list(COLOURS["red"])
    assert joined.pixels[other, 0, 0].tolist() == [1, 2, 3]


def test_products_without_a_picture_and_empty_slots_are_left_out(material: Material) -> None:
    pictures = tiny_pictures(tiny_catalogue(), views=2)
    pictures.has_image[3] = False
    examples = dataclasses.replace(material.examples, pictures=pictures)
    photographs = photographs_of(dataclasses.replace(material, examples=examples))
    assert len(photographs.rows) == 11
    assert all(len(rows) == 1 for rows in photographs.rows)


def test_a_very_same_picture_is_no_negative_in_the_loss(towers: Towers) -> None:
    photographs = shades(groups=4, each=2)
    (batch,) = photographs.pairs(PairDrawing(4, 1, 0), STILL)
    towers.train(False)
    all_alike = dataclasses.replace(batch, alike=torch.ones(4, 4, dtype=torch.bool))
    assert pair_loss(towers, all_alike, 20.0, False) == 0
    assert pair_loss(towers, batch, 20.0, False) > 0.1


def test_beside_another_stage_both_losses_are_descended(
    recipe: Recipe, towers: Towers, material: Material
) -> None:
    retrieval = RetrievalStageRecipe.model_validate(recipe.stages[0].model_dump())
    own = retrieval_stage(retrieval, recipe, towers, material)
    beside = with_photographs(own, PhotographsRecipe(batch=4, weight=0.25), recipe, material)
    torch.manual_seed(0)
    alone = own.loss(towers, next(own.batches(0)))
    batch = next(beside.batches(0))
    torch.manual_seed(0)
    together = beside.loss(towers, batch)
    assert set(together) == {*alone, "photographs"}
    towers.train(False)
    expected = 0.25 * pair_loss(towers, batch.pairs, 20.0, False)
    torch.testing.assert_close(beside.loss(towers, batch)["photographs"], expected)
    assert len(list(beside.batches(9))) == retrieval.steps - 9


def test_a_whole_training_with_further_photographs() -> None:
    catalogue = tiny_catalogue()
    recipe = tiny_recipe(
        stages=[
            {"kind": "photographs", "steps": 2, "batch": 6},
            {"kind": "retrieval", "steps": 2, "batch": 6, "photographs": {"batch": 4, "weight": 0.1}},
        ]
    )
    further = DecodedPhotographs(plain((250, 5, 5), (5, 5, 250)), ("mug-red", "elsewhere"))
    pictures = tiny_pictures(catalogue)
    one, again, without = (
        train(recipe, catalogue, tiny_clicks(catalogue), pictures, photographs=photographs)
        for photographs in (further, further, None)
    )
    assert list(one.history) == ["photographs", "retrieval"]
    assert set(one.history["retrieval"].terms) > {"photographs"}
    assert one.losses == again.losses
    assert one.losses != without.losses


def test_a_frozen_picture_half_cannot_learn_from_photographs() -> None:
    with pytest.raises(ValueError, match="photographs have nothing to teach"):
        RetrievalStageRecipe(kind="retrieval", learns="fusion", photographs=PhotographsRecipe())
