"""One repository for several kinds of GPU: each adds its plan to versions that are there."""

import errno
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from support.exported_pairs import build_plan, native_record, tiny_tokenizer
from tritonclient.grpc import model_config_pb2

from catalog.tokenizer import Tokenizer
from export import triton_config
from export.repository import write_version
from export.repository_plans import add_plans
from faults import Mismatch, NotFound, Occupied, StorageFailed
from releases.engine_manifest import engine_manifests, plans_in
from releases.export_record import ExportRecord
from releases.verify import hash_file

TOKENIZER: Tokenizer = tiny_tokenizer()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Fleet:
    """A repository, and versions of the query tower written into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.network = folder / "some.onnx"
        self.network.write_bytes(b"a network")

    def record(self, version: int = 1, **changes: Any) -> ExportRecord:
        return self.record_of("query_tower", version=version, **changes)

    def record_of(self, tower: str, **changes: Any) -> ExportRecord:
        fields = {"sha256": hash_file(self.network).sha256, **changes}
        return native_record(tower, TOKENIZER, "tensorrt", **fields)

    def write(self, version: int = 1, capability: str = "9.0") -> ExportRecord:
        record = self.record(version)
        plan = build_plan(self.folder / "some.plan", record, capability)
        write_version(self.repository, record, self.network, TOKENIZER.to_bytes(), plan)
        return record

    def add(self, record: ExportRecord, capability: str = "8.9", **changes: Any) -> None:
        plan = build_plan(self.folder / "some.plan", record, capability, **changes)
        add_plans(self.repository, [(record, plan)])

    @property
    def config(self) -> Any:
        text = (self.repository / "query_tower" / "config.pbtxt").read_text()
        return text_format.Parse(text, model_config_pb2.ModelConfig())

    @property
    def first_version(self) -> int:
        (version,) = self.config.version_policy.specific.versions
        return int(version)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_second_gpu_adds_its_plan_and_the_configuration_names_both(fleet: Fleet) -> None:
    record = fleet.write()
    before = everything(fleet.repository / "query_tower" / "1")
    assert dict(fleet.config.cc_model_filenames) == {"9.0": "model.cc90.plan"}
    fleet.add(record)
    folder = fleet.repository / "query_tower" / "1"
    after = everything(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"model.cc89.plan", "engine.cc89.json"}
    assert dict(fleet.config.cc_model_filenames) == {"8.9": "model.cc89.plan", "9.0": "model.cc90.plan"}
    assert [plan.compute_capability for plan in engine_manifests(folder)] == ["8.9", "9.0"]
    assert {path.name for path in fleet.repository.iterdir()} == {"query_tower"}


def test_capabilities_are_numbers_and_not_words(fleet: Fleet) -> None:
    record = fleet.write(capability="12.0")
    fleet.add(record, "9.0")
    assert [plan.compute_capability for plan in engine_manifests(fleet.repository / "query_tower" / "1")] == [
        "9.0",
        "12.0",
    ]


def test_a_plain_load_takes_a_version_that_serves_on_every_kind(fleet: Fleet) -> None:
    first = fleet.write(1)
    fleet.add(first)
    second = fleet.write(2)
    assert dict(fleet.config.cc_model_filenames) == {"8.9": "model.cc89.plan", "9.0": "model.cc90.plan"}
    assert fleet.first_version == 1  # on 8.9, version 2 could not be loaded
    fleet.add(second)
    assert fleet.first_version == 2


def test_a_plan_of_another_network_is_refused_with_both_hashes(fleet: Fleet) -> None:
    record = fleet.write()
    before = everything(fleet.repository)
    with pytest.raises(Mismatch, match="onnx_sha256 of the plan") as caught:
        fleet.add(record, onnx_sha256="f" * 64)
    assert (caught.value.expected, caught.value.found) == (record.sha256, "f" * 64)
    assert "model.onnx" in caught.value.fix
    assert everything(fleet.repository) == before


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("model", "product_tower"),
        ("precision", "fp16"),
        ("profiles", [{"batch": (1, 1, 1), "length": (8, 8, 8)}]),
        ("plan_sha256", "e" * 64),
    ],
)
def test_a_plan_that_is_not_this_versions_is_refused(fleet: Fleet, field: str, other: object) -> None:
    record = fleet.write()
    before = everything(fleet.repository)
    with pytest.raises(Mismatch):
        fleet.add(record, **{field: other})
    assert everything(fleet.repository) == before


def test_a_network_that_was_changed_since_its_export_is_refused(fleet: Fleet) -> None:
    record = fleet.write()
    (fleet.repository / "query_tower" / "1" / "model.onnx").write_bytes(b"another network")
    with pytest.raises(Mismatch, match=r"sha256 of .*model\.onnx"):
        fleet.add(record)


def test_a_record_that_is_not_the_one_there_is_refused(fleet: Fleet) -> None:
    fleet.write()
    with pytest.raises(Mismatch, match="export record"):
        fleet.add(fleet.record(command="another"))


def test_a_version_that_is_not_there_gets_no_plan(fleet: Fleet) -> None:
    fleet.write()
    with pytest.raises(NotFound, match="no such version"):
        fleet.add(fleet.record(version=2))


def test_a_plan_is_never_replaced(fleet: Fleet) -> None:
    record = fleet.write()
    before = everything(fleet.repository)
    with pytest.raises(Occupied, match=r"model\.cc90\.plan"):
        fleet.add(record, "9.0", gpu="another GPU")
    assert everything(fleet.repository) == before


@pytest.mark.parametrize("failing", ["engine.cc89.json", "config.pbtxt"])
def test_a_failing_disk_leaves_the_version_as_it_was(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    record = fleet.write()
    before = everything(fleet.repository)
    write = triton_config.write_atomically

    def failing_write(path: Path, content: bytes) -> None:
        if path.name == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr("export.repository_plans.write_atomically", failing_write)
    monkeypatch.setattr("export.triton_config.write_atomically", failing_write)
    with pytest.raises(StorageFailed, match="no plan was added"):
        fleet.add(record)
    assert everything(fleet.repository) == before


@pytest.mark.parametrize("failing", ["engine.cc89.json", "config.pbtxt"])
def test_of_two_towers_both_get_their_plan_or_neither(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    records = [fleet.record(), fleet.record_of("product_tower")]
    for record in records:
        plan = build_plan(fleet.folder / "some.plan", record)
        write_version(fleet.repository, record, fleet.network, TOKENIZER.to_bytes(), plan)
    before = everything(fleet.repository)
    towers = [
        (record, build_plan(fleet.folder / f"{record.model}.plan", record, "8.9")) for record in records
    ]
    write = triton_config.write_atomically

    def failing_write(path: Path, content: bytes) -> None:
        if path.name == failing and "product_tower" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("export.repository_plans.write_atomically", failing_write)
        patch.setattr("export.triton_config.write_atomically", failing_write)
        with pytest.raises(StorageFailed, match="no plan was added"):
            add_plans(fleet.repository, towers)
    assert everything(fleet.repository) == before
    add_plans(fleet.repository, towers)
    for record in records:
        assert plans_in(fleet.repository / record.model / "1") == {"8.9", "9.0"}
        assert '"model.cc89.plan"' in (fleet.repository / record.model / "config.pbtxt").read_text()


def test_a_plan_whose_manifest_was_never_written_does_not_count(fleet: Fleet) -> None:
    record = fleet.write()
    (fleet.repository / "query_tower" / "1" / "model.cc89.plan").write_bytes(b"half of an earlier attempt")
    fleet.write(2)
    assert dict(fleet.config.cc_model_filenames) == {"9.0": "model.cc90.plan"}
    fleet.add(record)
    assert dict(fleet.config.cc_model_filenames) == {"8.9": "model.cc89.plan", "9.0": "model.cc90.plan"}


def test_machines_that_add_at_once_are_both_named(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    record = fleet.write()
    write = triton_config.write_atomically
    others = ["8.6"]

    def overtaken(path: Path, content: bytes) -> None:
        if others:  # between our look at the folders and our write, another machine adds its plan
            fleet.add(record, others.pop())
        write(path, content)

    monkeypatch.setattr("export.triton_config.write_atomically", overtaken)
    fleet.add(record, "8.9")
    assert sorted(fleet.config.cc_model_filenames) == ["8.6", "8.9", "9.0"]
