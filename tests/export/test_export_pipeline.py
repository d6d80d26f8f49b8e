"""From checkpoint to a pair of versions; torch's own export is replaced by the session's files for speed."""

import errno
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support.broken_engines import count_padding, swap_colours

from export import workshop
from export.onnx_export import TowerGraph
from export.pipeline import export_checkpoint
from export.repository import write_version
from export.targets import Precision, Target
from export.workshop import ExportJob
from faults import GateFailed, InvalidInput, Mismatch, NotFound, StorageFailed
from releases.export_record import newest_pair, version_folder
from releases.verify import hash_file


@pytest.fixture(autouse=True)
def quick_export(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        workshop, "export_onnx", lambda graph, path: shutil.copyfile(exported[graph.name], path)
    )


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder) if (folder / name).is_file()}


def test_a_checkpoint_becomes_a_pair_of_gated_versions(job: ExportJob) -> None:
    stages: list[str] = []
    records = export_checkpoint(job, stages.append)
    assert [record.model for record in records] == ["query_tower", "product_tower"]
    read = [record.model_dump(mode="json") for record in newest_pair(job.repository)]
    assert read == [record.model_dump(mode="json") for record in records]
    for record in records:
        folder = version_folder(job.repository, record)
        assert record.sha256 == hash_file(folder / "model.onnx").sha256
        assert record.tokenizer_sha256 == job.checkpoint.towers.tokenizer.sha256
        assert (record.version, record.dim, record.picture_size, record.views) == (1, 16, 16, 1)
        assert (record.max_query_tokens, record.max_product_tokens) == (12, 16)
        assert (record.target, record.precision, record.command) == ("cpu", "fp32", "vitrine export x")
        assert record.runtime.startswith("onnxruntime")
        assert record.provenance["catalogue_source"] == "tiny-shop"
        assert all(gate.passed for gate in record.gates)
    assert [[gate.name for gate in record.gates] for record in records] == [
        ["numbers of query_tower"],
        ["numbers of product_tower", "retrieval of both towers"],
    ]
    assert stages[0].startswith("reading")
    assert stages[-1] == "publishing"


@pytest.mark.parametrize(("target", "precision"), [("cpu", "int8"), ("onnxruntime", "fp16")])
def test_other_targets_and_precisions_take_the_same_way(
    job: ExportJob, target: Target, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two queries and random towers: one swapped pair is a hundredth of nDCG.
    monkeypatch.setenv("VITRINE_GATE_INT8__LARGEST_NDCG_AT_10_LOSS", "0.1")
    records = export_checkpoint(replace(job, target=target, precision=precision))
    assert {(record.target, record.precision) for record in records} == {(target, precision)}
    sizes = [version_folder(job.repository, record) / "model.onnx" for record in records]
    assert all(path.is_file() for path in sizes)
    assert [bool(record.profiles) for record in records] == [target != "cpu"] * 2
    assert newest_pair(job.repository)[0].precision == precision


def test_profiles_follow_the_traffic(job: ExportJob) -> None:
    short = export_checkpoint(replace(job, target="onnxruntime", traffic={"mug": 1000}))[0]
    long = {"mug of the mug makers with a lamp and a chair": 1000, "mug": 900}
    mixed = export_checkpoint(
        replace(job, target="onnxruntime", traffic=long, repository=job.repository.with_name("other"))
    )[0]
    assert short.profiles != mixed.profiles
    assert short.profiles[-1].length[2] == mixed.profiles[-1].length[2] == 12


@pytest.mark.parametrize(
    ("change", "field"), [({"precision": "fp8"}, "--precision"), ({"target": "tpu"}, "--target")]
)
def test_what_no_target_runs_is_refused_first(job: ExportJob, change, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        export_checkpoint(replace(job, **change, catalogue=Path("nowhere")))
    assert caught.value.field == field


def test_a_machine_without_tensorrt_says_what_to_do_before_anything_is_exported(job: ExportJob) -> None:
    stages: list[str] = []
    with pytest.raises(NotFound, match="TensorRT") as caught:
        export_checkpoint(replace(job, target="tensorrt"), stages.append)
    assert "pip install" in caught.value.fix
    assert stages == []


def test_a_repository_of_another_target_is_left_alone(job: ExportJob) -> None:
    export_checkpoint(job)
    before = contents(job.repository)
    with pytest.raises(Mismatch, match="target") as caught:
        export_checkpoint(replace(job, target="onnxruntime"))
    assert "--repository" in caught.value.fix
    assert contents(job.repository) == before


def test_every_export_is_the_next_version_of_both(job: ExportJob) -> None:
    export_checkpoint(replace(job, command="first"))
    (job.repository / "product_tower" / "6").mkdir()  # somebody's leftover: the number names a pair
    records = export_checkpoint(replace(job, command="second"))
    assert [record.version for record in records] == [7, 7]
    assert {record.command for record in newest_pair(job.repository)} == {"second"}


@pytest.mark.parametrize(
    ("tower", "damage"), [("query_tower", count_padding), ("product_tower", swap_colours)]
)
def test_a_refused_engine_publishes_neither_tower(
    job: ExportJob,
    exported: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tower: str,
    damage: Callable[[Path, Path], Path],
) -> None:
    export_checkpoint(replace(job, command="sound"))
    before = names(job.repository)

    def damaged(graph: TowerGraph, path: Path) -> None:
        if graph.name == tower:
            damage(exported[tower], path)
        else:
            shutil.copyfile(exported[graph.name], path)

    monkeypatch.setattr(workshop, "export_onnx", damaged)
    with pytest.raises(GateFailed) as caught:
        export_checkpoint(replace(job, command="broken"))
    assert caught.value.field == f"numbers of {tower}"
    assert names(job.repository) == before
    assert newest_pair(job.repository)[0].command == "sound"


def test_a_refused_first_export_leaves_no_repository(
    job: ExportJob, exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        workshop, "export_onnx", lambda graph, path: count_padding(exported[graph.name], path)
    )
    with pytest.raises(GateFailed):
        export_checkpoint(job)
    assert not job.repository.exists()


@pytest.mark.parametrize("exports", [0, 1], ids=["first export", "later export"])
def test_a_disk_that_fills_up_at_the_second_tower_takes_the_first_back(
    job: ExportJob, monkeypatch: pytest.MonkeyPatch, exports: int
) -> None:
    for _ in range(exports):
        export_checkpoint(job)
    before, copy = contents(job.repository), shutil.copyfile

    def full(source: Path, target: Path) -> Path:
        if "product_tower" in str(target) and job.repository in Path(target).parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageFailed, match="No space left"):
        export_checkpoint(job)
    # Versions and configurations: one that names a version that is gone would keep Triton from loading.
    assert contents(job.repository) == before
    assert exports or not list(job.repository.glob("*/[0-9]*"))


def test_the_towers_are_written_by_write_version(job: ExportJob, tmp_path: Path) -> None:
    """The pair that export leaves is what a version written alone would be, byte for byte."""
    for record in export_checkpoint(job):
        source = version_folder(job.repository, record)
        tokenizer = job.checkpoint.towers.tokenizer.to_bytes()
        write_version(tmp_path / "b", record, source / "model.onnx", tokenizer)
    assert contents(job.repository) == contents(tmp_path / "b")


def test_two_exports_at_once_become_two_versions(
    job: ExportJob, exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each computes its version number while nobody else writes."""
    meet = threading.Barrier(2)

    def together(graph: TowerGraph, path: Path) -> None:
        if graph.name == "product_tower":
            meet.wait(timeout=60)
        shutil.copyfile(exported[graph.name], path)

    monkeypatch.setattr(workshop, "export_onnx", together)
    with ThreadPoolExecutor(2) as pool:
        versions = [records[0].version for records in pool.map(export_checkpoint, [job, job])]
    assert sorted(versions) == [1, 2]
    for model in ("query_tower", "product_tower"):
        assert "versions: [ 2 ]" in (job.repository / model / "config.pbtxt").read_text()


def test_calibration_never_sees_the_queries_that_measure(
    job: ExportJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_GATE_INT8__LARGEST_NDCG_AT_10_LOSS", "1")
    given: list[str] = []
    real = workshop.calibration_feeds

    def watched(graph, tokenizer, recipe, catalogue, queries):
        given.extend(queries)
        return real(graph, tokenizer, recipe, catalogue, queries)

    monkeypatch.setattr(workshop, "calibration_feeds", watched)
    export_checkpoint(replace(job, precision="int8"))
    assert "chair" in given
    assert not {"red mug", "lamp"} & set(given)  # the judged ones


def test_a_repository_that_cannot_be_written_is_refused_first(job: ExportJob) -> None:
    stages: list[str] = []
    job.repository.write_text("a file")
    with pytest.raises(StorageFailed) as caught:
        export_checkpoint(job, stages.append)
    assert caught.value.field == "--repository"
    assert stages == []
