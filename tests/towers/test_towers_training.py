import math
from collections.abc import Mapping

import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe

from faults import InternalError
from towers.build import Towers
from towers.recipe import Recipe
from towers.stage_kinds import retrieval
from towers.training import train as training_module
from towers.training.loop import Step
from towers.training.train import Trained, train

CATALOGUE = tiny_catalogue()


def trained(recipe: Recipe, steps: list[Step] | None = None) -> Trained:
    seen = [] if steps is None else steps
    return train(recipe, CATALOGUE, tiny_clicks(CATALOGUE), tiny_pictures(CATALOGUE), seen.append)


def weights(towers: Towers) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, tower in (("query", towers.query), ("product", towers.product))
        for key, value in tower.state_dict().items()
    }


def moved(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[str]:
    return {name for name, value in after.items() if (before[name] - value).abs().max() > 1e-12}


@pytest.fixture(scope="module")
def learned() -> tuple[Trained, list[Step]]:
    steps: list[Step] = []
    return trained(tiny_recipe(retrieval={"steps": 40}), steps), steps


def test_training_reduces_the_loss_and_reports_every_step(learned: tuple[Trained, list[Step]]) -> None:
    result, steps = learned
    assert [step.number for step in steps] == list(range(1, 41))
    assert {step.of for step in steps} == {40}
    assert len(result.losses) == 10
    assert result.losses[0] == pytest.approx(sum(step.loss for step in steps[:4]) / 4, abs=1e-4)
    assert result.losses[-1] < 0.7 * result.losses[0]
    assert result.clicked_pairs == 24


def test_the_picture_is_learned_where_only_the_picture_tells(learned: tuple[Trained, list[Step]]) -> None:
    towers = learned[0].towers
    assert not towers.query.training
    assert not towers.product.training
    pictures = tiny_pictures(CATALOGUE)
    ids = towers.tokenizer.encode([product.title for product in CATALOGUE.products], 16)
    assert len({tuple(row) for row in ids}) == 3
    rows = torch.tensor([row + [0] * (16 - len(row)) for row in ids])
    with torch.no_grad():
        every = torch.ones(12, 1, dtype=torch.bool)
        vectors, _ = towers.product(rows, (rows > 0).long(), torch.from_numpy(pictures.pixels), every, every)
        asked = torch.tensor(towers.tokenizer.encode(["red mug", "blue chair"], 12))
        best = (towers.query(asked, torch.ones_like(asked)) @ vectors.T).argmax(dim=1)
    assert [CATALOGUE.ids[row] for row in best.tolist()] == ["mug-red", "chair-blue"]


def test_the_same_seed_gives_the_same_towers_and_another_seed_others() -> None:
    recipe = tiny_recipe(retrieval={"steps": 3})
    first, again = weights(trained(recipe).towers), weights(trained(recipe).towers)
    assert moved(first, again) == set()
    other = weights(trained(tiny_recipe(retrieval={"steps": 3}, seed=1)).towers)
    assert "query.encoder.tokens.weight" in moved(first, other)


def test_the_text_encoders_have_a_rate_of_their_own() -> None:
    frozen = {"steps": 2, "text_learning_rate": 1e-30, "weight_decay": 0.0}
    after = trained(tiny_recipe(retrieval=frozen)).towers
    before = trained(tiny_recipe(retrieval={**frozen, "learning_rate": 1e-30})).towers
    changed = moved(weights(before), weights(after))
    assert "product.image_encoder.stages.0.weight" in changed
    assert not {name for name in changed if ".encoder." in name}


def test_frozen_layers_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    before: dict[str, torch.Tensor] = {}
    build = training_module.build_towers

    def frozen(recipe: Recipe, texts: list[str]) -> Towers:
        towers = build(recipe, texts)
        for tower in (towers.query, towers.product):
            tower.encoder.freeze_below(1)
        before.update(weights(towers))
        return towers

    monkeypatch.setattr(training_module, "build_towers", frozen)
    changed = moved(before, weights(trained(tiny_recipe(text={"layers": 2}, retrieval={"steps": 2})).towers))
    for tower in ("query", "product"):
        of_encoder = {name.split(".")[2] for name in changed if name.startswith(f"{tower}.encoder.")}
        assert of_encoder == {"blocks"}
        layers = {name.split(".")[3] for name in changed if name.startswith(f"{tower}.encoder.blocks.")}
        assert layers == {"1"}


def test_bfloat16_training_gives_float32_towers() -> None:
    towers = trained(tiny_recipe(retrieval={"steps": 2}, bfloat16=True)).towers
    assert {value.dtype for value in weights(towers).values()} == {torch.float32, torch.int64}


def test_a_loss_that_is_no_number_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = retrieval.in_batch_softmax
    calls: list[int] = []

    def diverging(*arguments: object) -> torch.Tensor:
        calls.append(1)
        return loss(*arguments) * (math.nan if len(calls) == 3 else 1.0)  # type: ignore[arg-type]

    monkeypatch.setattr(retrieval, "in_batch_softmax", diverging)
    steps: list[Step] = []
    with pytest.raises(InternalError, match="nan at step 3") as caught:
        trained(tiny_recipe(), steps)
    assert "learning_rate" in caught.value.fix
    assert len(steps) == 2


def test_the_rate_rises_then_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    adam = torch.optim.AdamW

    class Watched(adam):  # type: ignore[misc,valid-type]
        def step(self, *arguments: object) -> None:
            rates.append(self.param_groups[1]["lr"])
            super().step(*arguments)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    trained(tiny_recipe(retrieval={"steps": 10, "warmup": 0.3, "learning_rate": 0.01}))
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.01)
    assert 2 <= peak <= 3
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.002
