import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.tiny_shop import SIZE, tiny_checkpoint

from catalog.tokenizer import Tokenizer, train_tokenizer
from faults import InvalidInput, Mismatch, NotFound, StorageFailed
from towers import checkpoint as checkpoint_module
from towers.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint()


@pytest.fixture(scope="module")
def other() -> Checkpoint:
    return tiny_checkpoint(seed=1)


@pytest.fixture
def saved(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(checkpoint, tmp_path / "towers")
    return tmp_path / "towers"


def vectors(checkpoint: Checkpoint) -> list[torch.Tensor]:
    towers = checkpoint.towers
    ids = torch.tensor(towers.tokenizer.encode(["red mug", "red mug"], 12))
    pixels = (
        torch.arange(2 * SIZE * SIZE * 3, dtype=torch.int64)
        .remainder(251)
        .to(torch.uint8)
        .view(2, 1, SIZE, SIZE, 3)
    )
    flags = torch.ones(2, 1, dtype=torch.bool)
    with torch.no_grad():
        mask = torch.ones_like(ids)
        return [towers.query(ids, mask), *towers.product(ids, mask, pixels, flags, flags)]


def same(one: Checkpoint, two: Checkpoint) -> bool:
    return all(torch.equal(a, b) for a, b in zip(vectors(one), vectors(two), strict=True))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_was_saved_comes_back_vector_for_vector(saved: Path, checkpoint: Checkpoint) -> None:
    loaded = load_checkpoint(saved)
    assert same(loaded, checkpoint)
    assert loaded.recipe == checkpoint.recipe
    assert loaded.provenance == checkpoint.provenance
    assert loaded.towers.tokenizer.to_bytes() == checkpoint.towers.tokenizer.to_bytes()
    assert not loaded.towers.query.training
    assert not loaded.towers.product.training


def test_only_the_checkpoint_is_left_where_it_was_written(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["towers"]
    assert {path.name for path in saved.iterdir()} == {
        "checkpoint.json",
        "towers.safetensors",
        "tokenizer.json",
    }


def test_an_older_checkpoint_is_replaced(saved: Path, checkpoint: Checkpoint, other: Checkpoint) -> None:
    assert not same(checkpoint, other)
    save_checkpoint(other, saved)
    assert same(load_checkpoint(saved), other)
    assert [path.name for path in saved.parent.iterdir()] == ["towers"]


@pytest.mark.parametrize("content", [{}, {"thesis.doc": "years of work"}], ids=["empty", "full"])
def test_a_folder_that_is_no_checkpoint_is_left_alone(
    checkpoint: Checkpoint, tmp_path: Path, content: dict[str, str]
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        save_checkpoint(checkpoint, folder)
    assert caught.value.field == "--out"
    assert {path.name: path.read_text() for path in folder.iterdir()} == content


@pytest.mark.parametrize("moment", ["writing", "syncing", "renaming"])
def test_a_failure_leaves_the_old_checkpoint(
    saved: Path, checkpoint: Checkpoint, other: Checkpoint, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    full = OSError(28, "No space left on device")
    write_bytes, rename = Path.write_bytes, Path.rename

    def failing_write(path: Path, data: bytes) -> int:
        if path.name == "tokenizer.json":
            raise full
        return write_bytes(path, data)

    def failing_rename(path: Path, target: Path) -> Path:
        if target == saved and not path.name.endswith("-old"):
            raise full
        return rename(path, target)

    def failing_sync(_: int) -> None:
        raise full

    with monkeypatch.context() as patch:
        if moment == "writing":
            patch.setattr(Path, "write_bytes", failing_write)
        elif moment == "renaming":
            patch.setattr(Path, "rename", failing_rename)
        else:
            patch.setattr(checkpoint_module.os, "fsync", failing_sync)
        with pytest.raises(StorageFailed, match="No space left"):
            save_checkpoint(other, saved)
    assert same(load_checkpoint(saved), checkpoint)
    assert [path.name for path in saved.parent.iterdir()] == ["towers"]


def test_files_that_a_caller_adds_come_with_the_checkpoint_or_not_at_all(
    saved: Path, checkpoint: Checkpoint, other: Checkpoint
) -> None:
    def add(folder: Path) -> None:
        (folder / "curves").mkdir()
        (folder / "curves" / "numbers.json").write_text("[]")

    def fail(folder: Path) -> None:
        add(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageFailed, match="No space left"):
        save_checkpoint(other, saved, fail)
    assert same(load_checkpoint(saved), checkpoint)
    assert not (saved / "curves").exists()
    save_checkpoint(other, saved, add)
    assert same(load_checkpoint(saved), other)
    assert (saved / "curves" / "numbers.json").read_text() == "[]"
    save_checkpoint(checkpoint, saved)
    assert not (saved / "curves").exists()
    assert [path.name for path in saved.parent.iterdir()] == ["towers"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount command")
    options = ["-t", "tmpfs", "-o", "size=20k", "tmpfs", str(folder)]
    if subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_named_and_left_clean(checkpoint: Checkpoint, small_disk: Path) -> None:
    with pytest.raises(StorageFailed, match="No space left") as caught:
        save_checkpoint(checkpoint, small_disk / "towers")
    assert caught.value.value == str(small_disk / "towers")
    assert list(small_disk.iterdir()) == []


def test_a_folder_without_a_checkpoint_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_checkpoint(tmp_path)
    assert caught.value.value == str(tmp_path)
    assert "vitrine train" in caught.value.fix


@pytest.mark.parametrize("file", ["checkpoint.json", "towers.safetensors"])
@pytest.mark.parametrize("damage", ["torn", "empty", "garbage"])
def test_a_damaged_file_is_refused(saved: Path, file: str, damage: str) -> None:
    path = saved / file
    data = path.read_bytes()
    path.write_bytes({"torn": data[: len(data) // 2], "empty": b"", "garbage": b"\xff" * 200}[damage])
    with pytest.raises(InvalidInput) as caught:
        load_checkpoint(saved)
    assert caught.value.value == str(saved)
    assert caught.value.fix


@pytest.mark.parametrize("file", ["towers.safetensors", "tokenizer.json"])
def test_a_missing_file_is_refused(saved: Path, file: str) -> None:
    (saved / file).unlink()
    with pytest.raises((InvalidInput, NotFound)):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "field", ["format", "recipe", "sizes", "tokenizer_sha256", "preprocessing", "provenance"]
)
def test_a_missing_field_is_refused(saved: Path, field: str) -> None:
    path = saved / "checkpoint.json"
    description = json.loads(path.read_text())
    del description[field]
    path.write_text(json.dumps(description))
    with pytest.raises(InvalidInput, match=field):
        load_checkpoint(saved)


def test_weights_of_other_towers_are_refused(saved: Path) -> None:
    recipe = json.loads((saved / "checkpoint.json").read_text())["recipe"]
    edit(saved, recipe={**recipe, "dim": 24})
    with pytest.raises(InvalidInput, match="damaged checkpoint"):
        load_checkpoint(saved)


def test_a_newer_format_is_refused_with_both_values(saved: Path) -> None:
    edit(saved, format=3)
    with pytest.raises(Mismatch, match="checkpoint format") as caught:
        load_checkpoint(saved)
    assert {caught.value.expected, caught.value.found} == {2, 3}


def test_other_preprocessing_is_refused_with_both_values(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_under = json.loads((saved / "checkpoint.json").read_text())["preprocessing"]
    monkeypatch.setattr("catalog.preprocessing.RULES_VERSION", 1000)
    with pytest.raises(Mismatch, match="preprocessing hash") as caught:
        load_checkpoint(saved)
    assert caught.value.expected == trained_under
    assert caught.value.found not in ("", trained_under)
    assert str(caught.value.found) in str(caught.value)
    assert trained_under in str(caught.value)


def test_another_tokenizer_is_refused_with_both_values(saved: Path, checkpoint: Checkpoint) -> None:
    stranger: Tokenizer = train_tokenizer(["quite other words stand here"], 300)
    (saved / "tokenizer.json").write_bytes(stranger.to_bytes())
    with pytest.raises(Mismatch, match="tokenizer sha256") as caught:
        load_checkpoint(saved)
    assert checkpoint.towers.tokenizer.sha256 in str(caught.value)
    assert stranger.sha256 in str(caught.value)
