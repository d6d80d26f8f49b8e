from pathlib import Path

import pytest
from support.exported_pairs import make_record, tiny_tokenizer
from support.tiny_shop import tiny_checkpoint

from releases.manifest import GateReport
from towers.checkpoint import save_checkpoint
from vitrine.export_towers import run_export


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
