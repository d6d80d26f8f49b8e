from dataclasses import replace

import pytest
import torch
from support.stopped_trainings import CATALOGUE, CLICKS, RECIPE, Shop, Stopped, same, uninterrupted
from support.tiny_shop import tiny_pictures, tiny_recipe

from towers.build import Towers
from towers.recipe import Recipe
from towers.training import train as training_module
from towers.training.loop import Step
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train
from towers.training.validation import Validation

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("every", [1, 2])
def test_a_training_that_stopped_goes_on_to_the_same_bits(
    shop: Shop, whole: Trained, after: int, every: int
) -> None:
    shop.stopped(after, every=every)
    assert shop.steps == list(range(1, after + 1))
    result = shop.train(every=every)
    kept = after - after % every
    assert shop.steps == list(range(kept + 1, 7))
    assert shop.said == ([f"going on from step {kept} of 6"] if kept else [])
    assert same(result, whole)


def test_a_training_may_stop_again_and_again(shop: Shop, whole: Trained) -> None:
    for after in (1, 2, 4, 5):
        shop.stopped(after)
    assert same(shop.train(), whole)
    assert shop.steps == [6]


def test_keeping_progress_changes_nothing(shop: Shop, whole: Trained) -> None:
    assert same(shop.train(), whole)


OTHERS: dict[str, tuple[dict[str, object], str]] = {
    "steps": ({"recipe": tiny_recipe(retrieval={"steps": 7, "modality_dropout": 0.3})}, "stages.0.steps: 6"),
    "clicks": ({"clicks": [replace(CLICKS[0], clicks=2), *CLICKS[1:]]}, "clicks: "),
    "order of the log": ({"clicks": CLICKS[::-1]}, "clicks: "),
    "split": ({"known": {"split": "all"}}, "split: nothing then, all now"),
}


@pytest.mark.parametrize(("changes", "named"), OTHERS.values(), ids=OTHERS.keys())
def test_progress_of_another_training_is_named_and_not_used(
    shop: Shop, changes: dict[str, object], named: str
) -> None:
    shop.stopped(3)
    shop.stopped(1, **changes)
    assert shop.steps == [1]
    assert len(shop.said) == 1
    assert named in shop.said[0]
    assert "begins anew" in shop.said[0]


def test_other_pictures_order_weights_versions_and_code_are_other_trainings(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = ProgressFolder(shop.folder, shop.said.append, every_steps=1)

    def begun(name: str) -> str:
        shop.said.clear()
        pictures = tiny_pictures(CATALOGUE)
        if name == "pictures":
            pictures.pixels[0, 0, 0, 0, 0] ^= 1

        def stop(_: Step) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            train(RECIPE, CATALOGUE, CLICKS, pictures, stop, progress)
        return " ".join(shop.said)

    assert begun("nothing") == ""
    assert "going on from step 1" in begun("nothing")
    assert "(pictures: " in begun("pictures")
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    assert "torch: " in begun("nothing")
    monkeypatch.setattr("towers.training.identity._code", lambda: "other sources")
    assert "towers package: " in begun("nothing")
    build = training_module.build_towers

    def moved(recipe: Recipe, texts: list[str]) -> Towers:
        towers = build(recipe, texts)
        with torch.no_grad():
            next(towers.query.parameters()).add_(1.0)
        return towers

    monkeypatch.setattr(training_module, "build_towers", moved)
    assert "(first weights: " in begun("nothing")


def test_another_machine_goes_on_and_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.stopped(3)
    monkeypatch.setattr("towers.training.resume.machine", lambda: "an abacus")
    shop.train()
    assert shop.steps == [4, 5, 6]
    assert "goes on with an abacus" in shop.said[0]


def test_fresh_begins_anew_without_a_word(shop: Shop, whole: Trained) -> None:
    shop.stopped(3)
    result = shop.train(fresh=True)
    assert (shop.steps, shop.said) == ([1, 2, 3, 4, 5, 6], [])
    assert same(result, whole)


def test_a_resumed_training_has_the_whole_curve_and_its_metrics(shop: Shop) -> None:
    often = Validation(every=2)
    whole = uninterrupted(often)
    shop.stopped(3, validation=often)
    result = shop.train(validation=often)
    assert shop.steps == [4, 5, 6]
    assert result.curves == whole.curves
    assert [[point.step for point in curve] for curve in result.metrics.values()] == [[2, 4, 6], [2, 4, 6]]


def test_a_training_without_set_aside_pairs_is_another_one(shop: Shop) -> None:
    shop.stopped(2, validation=Validation(set_aside=4))
    shop.stopped(3)
    assert "pairs set aside: 4 then, 0 now" in shop.said[0]


def test_a_training_that_is_told_to_stop_keeps_the_step_under_way(shop: Shop, whole: Trained) -> None:
    progress = ProgressFolder(shop.folder, shop.said.append)

    def on_step(step: Step) -> None:
        if step.number == 2:
            progress.stop()

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, CATALOGUE, CLICKS, tiny_pictures(CATALOGUE), on_step, progress)
    assert progress.kept == 3
    assert same(shop.train(), whole)
    assert shop.steps == [4, 5, 6]
