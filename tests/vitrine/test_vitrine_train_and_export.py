from pathlib import Path

import pytest
from support.exported_pairs import make_record, tiny_tokenizer
from support.tiny_shop import tiny_checkpoint, tiny_recipe

from catalog.readers import read_catalogue
from faults import StorageFailed
from releases.manifest import GateReport
from towers.checkpoint import load_checkpoint, save_checkpoint
from towers.recipe import Recipe
from vitrine.export_towers import run_export


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    fields = tiny_recipe(retrieval={"steps": 3}).model_dump(mode="json", exclude_none=True)
    sections = {name: fields.pop(name) for name in ("text", "image", "training")}
    lines = [f"{name} = {value!r}" for name, value in fields.items()]
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [
            f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
            for name, value in values.items()
        ]
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    return tmp_path / "tiny.toml"


def test_a_shop_becomes_a_checkpoint_that_knows_where_it_comes_from(
    vitrine, shop: Path, recipe: Path, tmp_path: Path
) -> None:
    done = vitrine("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "towers")
    assert done.code == 0, done.err
    assert "checkpoint in" in done.err
    checkpoint = load_checkpoint(tmp_path / "towers")
    assert checkpoint.recipe == Recipe.model_validate(tiny_recipe(retrieval={"steps": 3}))
    origin = checkpoint.provenance
    assert origin.command == f"vitrine train --catalog {shop} --recipe {recipe} --out {tmp_path / 'towers'}"
    assert origin.catalogue_fingerprint == read_catalogue(shop).fingerprint()
    assert (origin.products, origin.clicked_pairs, origin.split) == (12, 24, "all")


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
    weights = [(folder / "towers.safetensors").read_bytes() for folder in (tmp_path / "towers", again)]
    assert weights[0] == weights[1]


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


def test_another_folder_is_not_overwritten(vitrine, shop: Path, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.doc").write_text("years of work")
    done = vitrine("train", "--catalog", shop, "--recipe", recipe, "--out", tmp_path / "notes")
    assert done.code == 2
    assert "--out" in done.err
    assert (tmp_path / "notes" / "thesis.doc").read_text() == "years of work"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--catalog", "nowhere", "--out", "x"), "nowhere"),
        (("--catalog", "shop", "--out", "x", "--recipe", "unheard-of"), "unheard-of"),
        (("--catalog", "shop", "--out", "x", "--split", "some"), "some"),
    ],
)
def test_what_cannot_be_trained_is_said(vitrine, arguments: tuple[str, ...], said: str) -> None:
    done = vitrine("train", *arguments)
    assert done.code == 2
    assert said in done.err
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("option", "value", "known"), [("--target", "tpu", "cpu"), ("--precision", "int2", "fp32")]
)
def test_an_unknown_target_or_precision_lists_the_known_ones(
    vitrine, option: str, value: str, known: str
) -> None:
    done = vitrine("export", "somewhere", option, value)
    assert done.code == 2
    assert option in done.err
    assert value in done.err
    assert known in done.err


def test_exporting_what_is_no_checkpoint_is_refused(vitrine, tmp_path: Path) -> None:
    done = vitrine("export", tmp_path)
    assert done.code == 2
    assert "vitrine train" in done.err
    assert not Path("model_repository").exists()


def test_what_a_target_does_not_run_is_said_before_the_checkpoint_is_read(vitrine) -> None:
    done = vitrine("export", "nowhere", "--target", "cpu", "--precision", "fp8")
    assert done.code == 2
    assert "fp32, int8" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--add-to", "0"), "--add-to"),
        (("--query-log", "log.csv"), "no profiles to tune"),
    ],
)
def test_options_that_would_do_nothing_are_refused(vitrine, arguments: tuple[str, ...], said: str) -> None:
    done = vitrine("export", "nowhere", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_checkpoint_whose_catalogue_is_gone_asks_for_one(vitrine, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint(), tmp_path / "towers")  # trained on "tiny-shop", which is no folder
    done = vitrine("export", tmp_path / "towers")
    assert done.code == 2
    assert "--catalog" in done.err
    assert "tiny-shop" in done.err


def test_without_tensorrt_the_target_says_what_to_install(vitrine, shop: Path, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint(), tmp_path / "towers")
    done = vitrine(
        "export", tmp_path / "towers", "--target", "tensorrt", "--precision", "fp16", "--catalog", shop
    )
    assert done.code == 2
    assert "vitrine[tensorrt]" in done.err
    assert "the image vitrine/export" in done.err
    assert not Path("model_repository").exists()


def test_the_gates_are_printed_with_what_was_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gate = GateReport(
        name="numbers",
        passed=True,
        measured={"cosine": 0.999, "largest_loss": 0.001, "queries": 7},
        thresholds={"cosine": 0.9, "largest_loss": 0.5},
    )
    towers = ("query_tower", "product_tower")
    records = [make_record(tower, tiny_tokenizer(), version=4, gates=(gate,)) for tower in towers]
    monkeypatch.setattr("towers.checkpoint.load_checkpoint", lambda path: path)
    monkeypatch.setattr("export.pipeline.export_checkpoint", lambda *_, **__: records)
    run_export(tmp_path, tmp_path / "repository", tmp_path)
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["numbers", "cosine", "0.999", ">=", "0.9"] in lines
    assert ["largest_loss", "0.001", "<=", "0.5"] in lines
    assert ["queries", "7"] in lines
    assert any(line and line[-1].endswith("product_tower/4") for line in lines)
