import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.recipe_files import write_recipe
from support.tiny_shop import tiny_recipe

from catalog.readers import read_catalogue
from faults import StorageFailed
from towers.checkpoint import load_checkpoint
from towers.recipe import recipe_names
from towers.training.loop import Step
from vitrine.training_display import _Lines
from vitrine.training_place import only_training

RECIPE = tiny_recipe(retrieval={"steps": 3})


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(RECIPE, tmp_path / "tiny.toml")


def curves(checkpoint: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((checkpoint / "curves.json").read_text())
    return read


def test_a_shop_becomes_a_checkpoint_that_knows_where_it_comes_from(
    vitrine, shop: Path, recipe: Path, tmp_path: Path
) -> None:
    done = vitrine("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")
    assert done.code == 0, done.err
    assert "checkpoint in" in done.err
    checkpoint = load_checkpoint(tmp_path / "towers")
    assert checkpoint.recipe == RECIPE
    origin = checkpoint.provenance
    assert origin.command == f"vitrine train --catalog {shop} --recipe {recipe} --out {tmp_path / 'towers'}"
    assert origin.catalogue_fingerprint == read_catalogue(shop).fingerprint()
    assert (origin.products, origin.clicked_pairs, origin.split) == (12, 24, "all")
    assert list((tmp_path / "towers" / "tensorboard").glob("events.out.tfevents.*"))
    assert "1/1 retrieval: step 3 of 3, loss " in done.err
    assert not (tmp_path / ".towers.progress").exists()


def test_a_training_whose_checkpoint_found_no_place_goes_on_from_its_progress(
    vitrine, shop: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")

    def full(*_: object) -> None:
        raise StorageFailed("no place")

    with monkeypatch.context() as patch:
        patch.setattr("towers.checkpoint.save_checkpoint", full)
        assert vitrine(*command, "--keep-every-steps", 2).code == 3
    progress = tmp_path / ".towers.progress"
    assert progress.is_dir()
    done = vitrine(*command)
    assert done.code == 0, done.err
    assert "going on from step 2 of 3" in done.err
    assert not progress.exists()
    again = tmp_path / "again"
    assert vitrine(*command[:-1], again).code == 0
    for file in ("towers.safetensors", "curves.json", "curves.png"):
        assert (tmp_path / "towers" / file).read_bytes() == (again / file).read_bytes()
    assert curves(again)["stages"][0]["step"] == [1, 2, 3]


def test_progress_of_another_split_is_named_and_fresh_does_not_look(
    vitrine, shop: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("towers.checkpoint.save_checkpoint", interrupted)
    assert vitrine(*command, "--keep-every-steps", 1).code == 130
    said = vitrine(*command, "--split", "training").err
    assert "split: all then, training now" in " ".join(said.split())
    assert "training begins anew" in " ".join(said.split())
    said = vitrine(*command, "--fresh").err
    assert "going on" not in said
    assert "going on from step 3 of 3" in vitrine(*command).err


def never(*_: object, **__: object) -> None:
    raise AssertionError("it trained")


def test_another_folder_is_not_overwritten_and_that_is_said_before_the_training(
    vitrine, shop: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towers.training.train.train", never)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.doc").write_text("years of work")
    done = vitrine("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "notes")
    assert done.code == 2
    assert "--out" in done.err
    assert (tmp_path / "notes" / "thesis.doc").read_text() == "years of work"
    assert not (tmp_path / ".notes.progress").exists()


def test_two_trainings_to_one_checkpoint_are_refused(
    vitrine, shop: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")
    with monkeypatch.context() as patch, only_training(tmp_path / "towers"):
        patch.setattr("towers.training.train.train", never)
        done = vitrine(*command)
    assert done.code == 2
    assert "--out: another training to this checkpoint is under way" in " ".join(done.err.split())
    assert vitrine(*command).code == 0


def test_a_place_where_nothing_can_be_written_is_said_before_the_training(
    vitrine, shop: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towers.training.train.train", never)
    (tmp_path / "file").write_text("no folder")
    done = vitrine("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "file" / "towers")
    assert done.code == 3
    assert "Not a directory" in done.err


def test_a_seed_stands_for_the_recipes(vitrine, shop: Path, recipe: Path, tmp_path: Path) -> None:
    command = ("train", "--catalog", shop, "--recipe", recipe, "--seed")
    weights = []
    for seed in (0, 7):
        assert vitrine(*command, seed, "--out", tmp_path / str(seed)).code == 0
        assert load_checkpoint(tmp_path / str(seed)).recipe.seed == seed
        weights.append((tmp_path / str(seed) / "towers.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_what_is_measured_along_the_way_stands_in_the_curves_and_moves_nothing(
    vitrine, shop: Path, recipe: Path, tmp_path: Path
) -> None:
    command = ("train", "--catalog", shop, "--recipe", recipe, "--out")
    assert vitrine(*command, tmp_path / "plain").code == 0
    done = vitrine(*command, tmp_path / "measured", "--validate-every", 2)
    assert done.code == 0
    assert "after step 2, R@10 of 12 trained pairs among 12 products: " in done.err
    metrics = curves(tmp_path / "measured")["metrics"]
    assert {tuple(curve["step"]) for curve in metrics.values()} == {(2, 3)}
    weights = [(tmp_path / name / "towers.safetensors").read_bytes() for name in ("plain", "measured")]
    assert weights[0] == weights[1]
    assert vitrine(*command, tmp_path / "honest", "--set-aside", 5).code == 0
    assert "R@10 of 5 set-aside pairs among 12 products" in curves(tmp_path / "honest")["metrics"]
    assert load_checkpoint(tmp_path / "honest").provenance.clicked_pairs == 19


def test_a_click_log_of_other_products_is_counted_with_examples(
    vitrine, shop: Path, recipe: Path, tmp_path: Path
) -> None:
    (shop / "clicks.parquet").unlink()
    rows = [f"mug,lost-{number},2,3" for number in range(7)] * 2 + ["red mug,mug-red,1,1"]
    (shop / "clicks.csv").write_text("\n".join(["query,product_id,clicks,impressions", *rows]) + "\n")
    done = vitrine("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "clicks.csv: product_id: 7 product ids are not in the catalogue (in 14 rows)" in said
    assert "'lost-0', 'lost-1', 'lost-2', 'lost-3', 'lost-4', …" in said
    assert "Fix: " in said


def test_a_recipe_of_ones_own_with_a_wrong_field_is_named(vitrine, shop: Path, tmp_path: Path) -> None:
    text = write_recipe(RECIPE, tmp_path / "own.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("steps = 3", "steps = 0"))
    done = vitrine("train", "--catalog", shop, "--recipe", tmp_path / "own.toml", "--out", tmp_path / "x")
    assert done.code == 2
    assert "steps" in done.err
    assert "got 0" in done.err


def test_recipes_are_listed_with_what_they_are(vitrine) -> None:
    done = vitrine("train", "--list-recipes")
    assert done.code == 0
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert set(lines) == set(recipe_names())
    assert all(20 < len(summary) < 200 for summary in lines.values())


def signals_at(monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
    """Ctrl-C is pressed after a step."""
    show = _Lines.on_step

    def pressed(display: _Lines, step: Step) -> None:
        show(display, step)
        if step.number == number:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(_Lines, "on_step", pressed)


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_training_says_how_to_go_on(
    vitrine, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    recipe = write_recipe(tiny_recipe(retrieval={"steps": 6}), tmp_path / "six.toml")
    command = ("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")
    with monkeypatch.context() as patch:
        signals_at(patch, number=2, times=times)
        done = vitrine(*command)
    assert done.code == 130
    said = {1: "kept is step 3: the same command goes on", 2: "the same command begins anew"}
    assert said[times] in done.err
    assert not (tmp_path / "towers").exists()
    done = vitrine(*command)
    assert done.code == 0
    assert ("going on from step 3 of 6" in done.err) == (times == 1)
    assert curves(tmp_path / "towers")["stages"][0]["step"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--catalog", "nowhere", "--out", "x"), "nowhere"),
        (("--catalog", "shop", "--out", "x", "--recipe", "unheard-of"), "unheard-of"),
        (("--catalog", "shop", "--out", "x", "--split", "some"), "some"),
        (("--catalog", "shop", "--out", "x", "--seed", "-1"), "--seed"),
        (("--catalog", "shop", "--out", "x", "--set-aside", "-1"), "--set-aside"),
        (
            ("--catalog", "shop", "--out", "x", "--teacher", "nobody"),
            "--teacher: no stage of the recipe sample",
        ),
        (("--catalog", "shop", "--out", "x", "--recipe", "distilled"), "--teacher: the recipe distilled"),
        (("--catalog", "shop", "--out", "x", "--recipe", "distilled", "--teacher", "nobody"), "nobody"),
    ],
)
def test_what_cannot_be_trained_is_said(vitrine, arguments: tuple[str, ...], said: str) -> None:
    done = vitrine("train", *arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert not Path("x").exists()
    assert not Path(".x.progress").exists()
