"""A version's plans for several kinds of GPU; TensorRT is played by ONNX Runtime, the rest is real."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.broken_engines import count_padding
from support.tiny_shop import tiny_checkpoint

from catalog.tokenizer import train_tokenizer
from export import workshop
from export.fleet import add_this_gpu
from export.gate.engine import OnnxEngine
from export.onnx_export import TowerGraph
from export.pipeline import export_checkpoint
from export.repository_plans import BuiltPlan
from export.runtimes import MadeEngine
from export.workshop import ExportJob
from faults import GateFailed, InvalidInput, Mismatch, NotFound, Occupied
from releases.engine_manifest import EngineManifest, engine_manifests
from releases.export_record import version_folder
from releases.verify import hash_file


class PlayedTensorRT:
    """Its "plan" is the ONNX file, damaged on request."""

    def __init__(self, capability: str) -> None:
        self.capability = capability
        self.damage = shutil.copyfile

    def make(self, graph: TowerGraph, onnx_file: Path, precision: str, profiles) -> MadeEngine:
        plan = onnx_file.with_suffix(".plan")
        self.damage(onnx_file, plan)
        manifest = EngineManifest(
            model=graph.name,
            precision=precision,
            compute_capability=self.capability,
            gpu="played",
            tensorrt_version="11.0",
            onnx_sha256=hash_file(onnx_file).sha256,
            plan_sha256=hash_file(plan).sha256,
            profiles=profiles,
            flags={},
            command="tests",
        )
        return MadeEngine(OnnxEngine(plan, graph.outputs), BuiltPlan(plan, manifest))


@pytest.fixture
def machine(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> PlayedTensorRT:
    """This machine's TensorRT; its compute capability can be changed."""
    played = PlayedTensorRT("9.0")
    monkeypatch.setattr(workshop, "open_runtime", lambda *_: played)
    monkeypatch.setattr(
        workshop, "export_onnx", lambda graph, path: shutil.copyfile(exported[graph.name], path)
    )
    return played


@pytest.fixture
def job(job: ExportJob) -> ExportJob:
    return replace(job, target="tensorrt")


def capabilities(job: ExportJob, version: int = 1) -> list[list[str]]:
    return [
        [found.compute_capability for found in engine_manifests(job.repository / model / str(version))]
        for model in ("query_tower", "product_tower")
    ]


def test_a_version_gets_plans_for_a_second_kind_of_gpu(job: ExportJob, machine: PlayedTensorRT) -> None:
    records = export_checkpoint(job)
    assert capabilities(job) == [["9.0"], ["9.0"]]
    before = [(version_folder(job.repository, record) / "model.onnx").read_bytes() for record in records]
    machine.capability = "8.9"
    added = add_this_gpu(job, 1)
    assert [record.version for record in added] == [1, 1]
    assert capabilities(job) == [["8.9", "9.0"], ["8.9", "9.0"]]
    after = [(version_folder(job.repository, record) / "model.onnx").read_bytes() for record in records]
    assert before == after
    for record, again in zip(records, added, strict=True):
        manifests = engine_manifests(version_folder(job.repository, record))
        assert [manifest.gates for manifest in manifests] == [again.gates, record.gates]
        text = (job.repository / record.model / "config.pbtxt").read_text()
        assert "model.cc89.plan" in text
        assert "model.cc90.plan" in text


@pytest.mark.usefixtures("machine")
def test_the_same_gpu_again_is_refused(job: ExportJob) -> None:
    export_checkpoint(job)
    with pytest.raises(Occupied):
        add_this_gpu(job, 1)


def test_a_bad_plan_is_not_added(job: ExportJob, machine: PlayedTensorRT) -> None:
    export_checkpoint(job)
    machine.capability, machine.damage = "8.9", count_padding
    with pytest.raises(GateFailed):
        add_this_gpu(job, 1)
    assert capabilities(job) == [["9.0"], ["9.0"]]


def test_another_checkpoint_is_refused(job: ExportJob, machine: PlayedTensorRT) -> None:
    export_checkpoint(job)
    other = tiny_checkpoint(seed=3)
    machine.capability = "8.9"
    retrained = replace(other, provenance=replace(other.provenance, command="vitrine train --again"))
    with pytest.raises(Mismatch, match="training command"):
        add_this_gpu(replace(job, checkpoint=retrained), 1)
    with pytest.raises(GateFailed):  # the same command, and yet other weights
        add_this_gpu(replace(job, checkpoint=other), 1)
    assert capabilities(job) == [["9.0"], ["9.0"]]


@pytest.mark.usefixtures("machine")
def test_a_version_that_is_not_there_is_refused(job: ExportJob) -> None:
    export_checkpoint(job)
    with pytest.raises(NotFound, match="no such version") as caught:
        add_this_gpu(job, 7)
    assert (caught.value.field, caught.value.value) == ("--add-to", 7)
    assert caught.value.fix == "Name one of 1."


@pytest.mark.usefixtures("machine")
def test_only_plans_are_added(job: ExportJob) -> None:
    with pytest.raises(InvalidInput) as caught:
        add_this_gpu(replace(job, target="cpu"), 1)
    assert caught.value.field == "--add-to"
    assert "--target tensorrt" in caught.value.fix


def test_a_tokenizer_of_another_release_beside_the_version_is_refused(
    job: ExportJob, machine: PlayedTensorRT
) -> None:
    export_checkpoint(job)
    other = train_tokenizer(["blue mugs, red lamps and white chairs of other makers"], 300)
    (job.repository / "query_tower" / "1" / "tokenizer.json").write_bytes(other.to_bytes())
    machine.capability = "8.9"
    with pytest.raises(GateFailed):
        add_this_gpu(job, 1)
    assert capabilities(job) == [["9.0"], ["9.0"]]


@pytest.mark.usefixtures("machine")
def test_a_later_version_keeps_the_profiles_of_the_first(job: ExportJob) -> None:
    first = export_checkpoint(job)
    second = export_checkpoint(replace(job, traffic={"mug of the mug makers with a lamp": 1}))
    assert [record.profiles for record in second] == [record.profiles for record in first]
