"""The first stage: pictures alone, against query vectors that stand still."""

import dataclasses

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe

from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.data.examples import Examples, make_examples
from towers.data.material import Material
from towers.recipe import Recipe, load_recipe
from towers.stage_kinds.pictures import PictureBatch, pictures_stage
from towers.stage_recipes import PicturesStageRecipe
from towers.training.loop import Stage, run_stages

STAGE = PicturesStageRecipe(kind="pictures", steps=40, batch=8, queries_each=3, learning_rate=0.01, warmup=0)


@pytest.fixture
def recipe() -> Recipe:
    return tiny_recipe()


@pytest.fixture
def towers(recipe: Recipe) -> Towers:
    torch.manual_seed(0)
    return build_towers(recipe, [product.title for product in tiny_catalogue().products] + ["red green"])


@pytest.fixture
def examples(towers: Towers) -> Examples:
    catalogue = tiny_catalogue()
    return make_examples(
        catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue), towers.tokenizer, 12, 16
    )


def stage_of(recipe: Recipe, towers: Towers, examples: Examples) -> Stage[PictureBatch]:
    return pictures_stage(STAGE, recipe, towers, Material(tiny_catalogue(), examples))


def batches(recipe: Recipe, towers: Towers, examples: Examples, skip: int = 0) -> list[PictureBatch]:
    return list(stage_of(recipe, towers, examples).batches(skip))


def weights(towers: Towers) -> dict[str, torch.Tensor]:
    both = (("query", towers.query), ("product", towers.product))
    return {
        f"{name}.{key}": value.clone() for name, tower in both for key, value in tower.state_dict().items()
    }


def test_only_the_image_half_learns_and_it_does(recipe: Recipe, towers: Towers, examples: Examples) -> None:
    before = weights(towers)
    stage = stage_of(recipe, towers, examples)
    losses = run_stages([stage], towers, lambda _: None, lambda _: None)[0].total
    changed = {name for name, value in weights(towers).items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("product.image_encoder.", "product.project_image.")) for name in changed)
    assert {name.split(".")[1] for name in changed} == {"image_encoder", "project_image"}
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_batches_are_drawn_alike_and_can_begin_later(
    recipe: Recipe, towers: Towers, examples: Examples
) -> None:
    every, later = batches(recipe, towers, examples), batches(recipe, towers, examples, skip=37)
    assert (len(every), len(later)) == (40, 3)
    for one, other in zip(every[37:], later, strict=True):
        for field in dataclasses.fields(PictureBatch):
            assert torch.equal(getattr(one, field.name), getattr(other, field.name))
    assert not torch.equal(every[0].pixels, every[1].pixels)


def test_a_batch_is_what_was_clicked(recipe: Recipe, towers: Towers, examples: Examples) -> None:
    batch = batches(recipe, towers, examples)[0]
    assert batch.pixels.shape == (8, 1, 16, 16, 3)
    assert batch.pixels.dtype == torch.uint8
    assert batch.queries.shape == (24, 16)
    assert batch.target.tolist() == [row for row in range(8) for _ in range(3)]
    assert batch.known[torch.arange(24), batch.target].all()
    assert not batch.known.all()
    torch.testing.assert_close(batch.queries.norm(dim=1), torch.ones(24))


def test_pictures_are_mirrored_and_shifted_but_stay_themselves(
    recipe: Recipe, towers: Towers, examples: Examples
) -> None:
    ramp = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(1, 1, 16, 16, 3).repeat(12, axis=0)
    varied = dataclasses.replace(
        examples, pictures=dataclasses.replace(examples.pictures, pixels=np.ascontiguousarray(ramp))
    )
    seen = {row.numpy().tobytes() for batch in batches(recipe, towers, varied) for row in batch.pixels}
    assert len(seen) > 10
    histograms = {np.sort(np.frombuffer(picture, np.uint8)).tobytes() for picture in seen}
    assert len(histograms) == 1


def test_products_without_pictures_take_no_part(recipe: Recipe, towers: Towers, examples: Examples) -> None:
    has_image = examples.pictures.has_image.copy()
    has_image[:6] = False
    fewer = dataclasses.replace(
        examples, pictures=dataclasses.replace(examples.pictures, has_image=has_image)
    )
    for batch in batches(recipe, towers, fewer)[:5]:
        assert batch.has_image.all()
        assert len(batch.pixels) == 6


def test_it_needs_a_text_encoder_that_knows_something(tmp_path) -> None:
    path = tmp_path / "scratch.toml"
    path.write_text('name = "x"\n[[stages]]\nkind = "pictures"\n')
    with pytest.raises(InvalidInput, match="pretrained"):
        load_recipe(str(path))


def test_the_catalogue_recipe_has_it() -> None:
    assert load_recipe("catalogue").stages[0].kind == "pictures"
