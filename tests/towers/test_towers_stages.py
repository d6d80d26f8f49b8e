from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.stopped_trainings import CATALOGUE, CLICKS, RECIPE, Shop, same, uninterrupted, weights
from support.tiny_shop import tiny_pictures
from torch import Tensor

from faults import InternalError
from towers.build import Towers
from towers.data.examples import Examples
from towers.data.material import Material
from towers.recipe import Recipe
from towers.stage_kinds.retrieval import retrieval_stage
from towers.stage_recipes import RetrievalStageRecipe
from towers.training import train as training_module
from towers.training.loop import ParameterGroup, Stage, Step
from towers.training.train import Trained, tenths, train

pytestmark = pytest.mark.usefixtures("one_thread")


def second_stage(towers: Towers, examples: Examples, steps: int = 4, batches: int = 100) -> Stage[Tensor]:
    """A second stage as one would write it: pictures learn to lie where frozen text lies."""
    encoder = towers.product.image_encoder

    def draw(skip: int) -> Iterator[Tensor]:
        random = np.random.default_rng(5)
        for number in range(batches):
            rows = random.choice(len(examples.pictures.pixels), 6, replace=False)
            if number >= skip:
                yield torch.from_numpy(examples.pictures.pixels[rows])

    def loss(towers: Towers, pixels: Tensor) -> dict[str, Tensor]:
        images = towers.product.project_image(encoder(pixels, torch.ones(len(pixels), 1, dtype=torch.bool)))
        asked = torch.tensor(towers.tokenizer.encode(["red mug"], 12))
        wanted = towers.query(asked, torch.ones_like(asked))  # fixed: no gradient reaches it
        noise = 0.01 * torch.rand_like(images)
        return {"distance": ((images + noise - wanted) ** 2).mean()}

    group = ParameterGroup(tuple(encoder.parameters()), 1e-2)
    return Stage("pictures", steps, (group,), draw, loss)


@pytest.fixture
def two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    def stages(recipe: Recipe, towers: Towers, material: Material) -> tuple[Stage[object], ...]:
        (retrieval,) = recipe.stages
        assert isinstance(retrieval, RetrievalStageRecipe)
        first = retrieval_stage(retrieval, recipe, towers, material)
        return (first, second_stage(towers, material.examples))  # type: ignore[return-value]

    monkeypatch.setattr(training_module, "stages_of", stages)


@pytest.mark.usefixtures("two_stages")
@pytest.mark.parametrize("after", [5, 6, 7, 10])
def test_two_stages_go_on_from_either(shop: Shop, after: int) -> None:
    all_at_once = uninterrupted()
    assert set(all_at_once.history) == {"retrieval", "pictures"}
    assert all_at_once.losses == tenths(all_at_once.history["pictures"].total)
    shop.stopped(after)
    assert same(shop.train(), all_at_once)
    assert shop.steps == list(range(after + 1, 11))
    assert shop.said == [f"going on from step {after} of 10"]


@pytest.mark.usefixtures("two_stages")
def test_a_stage_moves_its_own_weights_alone(whole: Trained) -> None:
    before, both = weights(whole.towers), uninterrupted().towers
    after = weights(both)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {name for name in after if name.startswith("product.image_encoder.")}
    assert all(parameter.requires_grad for parameter in both.query.parameters())
    losses = uninterrupted().history["pictures"].total
    assert losses[-1] < losses[0]


def test_sums_do_not_depend_on_which_thread_comes_first_while_it_trains() -> None:
    strict: list[bool] = []

    def on_step(_: Step) -> None:
        strict.append(torch.are_deterministic_algorithms_enabled())

    train(RECIPE, CATALOGUE, CLICKS, tiny_pictures(CATALOGUE), on_step)
    assert strict == [True] * 6
    assert not torch.are_deterministic_algorithms_enabled()


def only(monkeypatch: pytest.MonkeyPatch, make: Callable[[Towers, Examples], Stage[Tensor]]) -> None:
    monkeypatch.setattr(
        training_module, "stages_of", lambda _, towers, material: (make(towers, material.examples),)
    )


def test_a_stage_whose_batches_end_early_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, lambda towers, examples: second_stage(towers, examples, batches=3))
    with pytest.raises(InternalError, match="pictures stage end after 3 of 4"):
        uninterrupted()


def test_a_stage_may_train_no_weight_that_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stray = ParameterGroup((torch.nn.Parameter(torch.zeros(3)),), 1.0)
    only(monkeypatch, lambda towers, examples: replace(second_stage(towers, examples), groups=(stray,)))
    with pytest.raises(InternalError, match="in no tower"):
        uninterrupted()
