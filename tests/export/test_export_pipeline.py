"""From checkpoint to a pair of versions; torch's own export is replaced by the session's files for speed."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.broken_engines import count_padding, swap_colours

from export import pipeline
from export.onnx_export import TowerGraph
from export.pipeline import export_checkpoint
from export.repository import write_version
from faults import GateFailed, StorageFailed
from releases.export_record import newest_pair, version_folder
from releases.verify import hash_file
from towers.checkpoint import Checkpoint

Exporter = Callable[[TowerGraph, Path], None]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture(autouse=True)
def quick_export(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pipeline, "export_onnx", lambda graph, path: shutil.copyfile(exported[graph.name], path)
    )


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_checkpoint_becomes_a_pair_of_gated_versions(repository: Path, checkpoint: Checkpoint) -> None:
    stages: list[str] = []
    records = export_checkpoint(checkpoint, repository, "vitrine export x", ["red mug"], stages.append)
    assert [record.model for record in records] == ["query_tower", "product_tower"]
    read = [record.model_dump(mode="json") for record in newest_pair(repository)]
    assert read == [record.model_dump(mode="json") for record in records]
    for record in records:
        folder = version_folder(repository, record)
        assert record.sha256 == hash_file(folder / "model.onnx").sha256
        assert record.tokenizer_sha256 == checkpoint.towers.tokenizer.sha256
        assert (record.version, record.dim, record.picture_size, record.views) == (1, 16, 16, 1)
        assert (record.max_query_tokens, record.max_product_tokens) == (12, 16)
        assert record.command == "vitrine export x"
        assert record.provenance["catalogue_source"] == "tiny-shop"
        assert [gate.name for gate in record.gates] == [f"parity of {record.model}"]
        assert all(gate.passed for gate in record.gates)
    assert [stage.split()[0] for stage in stages] == ["exporting", "comparing"] * 2


def test_every_export_is_the_next_version_of_both(repository: Path, checkpoint: Checkpoint) -> None:
    export_checkpoint(checkpoint, repository, "first")
    (repository / "product_tower" / "6").mkdir()  # somebody's leftover: the number names a pair
    records = export_checkpoint(checkpoint, repository, "second")
    assert [record.version for record in records] == [7, 7]
    assert {record.command for record in newest_pair(repository)} == {"second"}


@pytest.mark.parametrize(
    ("tower", "damage"), [("query_tower", count_padding), ("product_tower", swap_colours)]
)
def test_a_refused_engine_publishes_neither_tower(
    repository: Path,
    checkpoint: Checkpoint,
    exported: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tower: str,
    damage: Callable[[Path, Path], Path],
) -> None:
    export_checkpoint(checkpoint, repository, "sound")
    before = names(repository)

    def damaged(graph: TowerGraph, path: Path) -> None:
        if graph.name == tower:
            damage(exported[tower], path)
        else:
            shutil.copyfile(exported[graph.name], path)

    monkeypatch.setattr(pipeline, "export_onnx", damaged)
    with pytest.raises(GateFailed) as caught:
        export_checkpoint(checkpoint, repository, "broken")
    assert caught.value.field == f"parity of {tower}"
    assert names(repository) == before
    assert newest_pair(repository)[0].command == "sound"


def test_a_refused_first_export_leaves_no_repository(
    repository: Path, checkpoint: Checkpoint, exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pipeline, "export_onnx", lambda graph, path: count_padding(exported[graph.name], path)
    )
    with pytest.raises(GateFailed):
        export_checkpoint(checkpoint, repository, "broken")
    assert not repository.exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder) if (folder / name).is_file()}


@pytest.mark.parametrize("exports", [0, 1], ids=["first export", "later export"])
def test_a_disk_that_fills_up_at_the_second_tower_takes_the_first_back(
    repository: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, exports: int
) -> None:
    for _ in range(exports):
        export_checkpoint(checkpoint, repository, "sound")
    before, copy = contents(repository), shutil.copyfile

    def full(source: Path, target: Path) -> Path:
        if "product_tower" in str(target) and repository in Path(target).parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageFailed, match="No space left"):
        export_checkpoint(checkpoint, repository, "too large")
    # Versions and configurations: one that names a version that is gone would keep Triton from loading.
    assert contents(repository) == before
    assert exports or not list(repository.glob("*/[0-9]*"))


def test_the_towers_are_written_by_write_version(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """The pair that export leaves is what a version written alone would be, byte for byte."""
    records = export_checkpoint(checkpoint, tmp_path / "a", "same")
    for record in records:
        source = version_folder(tmp_path / "a", record)
        write_version(tmp_path / "b", record, source / "model.onnx", checkpoint.towers.tokenizer.to_bytes())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
