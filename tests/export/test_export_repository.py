import errno
import shutil
from pathlib import Path

import pytest
from support.exported_pairs import build_plan, make_record, native_record, tiny_tokenizer

from catalog.tokenizer import Tokenizer
from export import triton_config
from export.repository import require_room, settled_profiles, write_pair, write_version
from export.repository_plans import BuiltPlan
from export.triton_config import PARTS, config_text
from faults import InvalidInput, Mismatch, StorageFailed
from releases.export_record import ExportRecord

TOWERS = ("query_tower", "product_tower")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "some.onnx"
    path.write_bytes(b"a network")
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_folder_holds_all_that_triton_and_indexing_need(
    repository: Path, network: Path, tokenizer: Tokenizer
) -> None:
    record = make_record("query_tower", tokenizer, version=3)
    folder = write_version(repository, record, network, tokenizer.to_bytes())
    assert folder == repository / "query_tower" / "3"
    runner = {path.name for path in (PARTS / "runner").glob("*.py")}
    assert "model.py" in runner
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "tokenizer.json",
        "export.json",
        *runner,
    }
    assert (folder / "model.onnx").read_bytes() == b"a network"
    assert (folder / "tokenizer.json").read_bytes() == tokenizer.to_bytes()
    assert ExportRecord.model_validate_json((folder / "export.json").read_bytes()) == record
    assert {path.name for path in repository.iterdir()} == {"query_tower"}  # nothing hidden is left
    assert folder.stat().st_mode & 0o777 == 0o755  # Triton may run as another user


def test_a_new_version_leaves_the_old_one_and_moves_the_configuration(
    repository: Path, network: Path, tokenizer: Tokenizer
) -> None:
    write_version(repository, make_record("query_tower", tokenizer), network, tokenizer.to_bytes())
    before = everything(repository / "query_tower" / "1")
    record = make_record("query_tower", tokenizer, version=2)
    write_version(repository, record, network, tokenizer.to_bytes())
    assert everything(repository / "query_tower" / "1") == before
    assert (repository / "query_tower" / "config.pbtxt").read_text() == config_text(record)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("moment", ["copying", "configuring"])
def test_a_failing_disk_leaves_no_half_version(
    repository: Path,
    network: Path,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    moment: str,
) -> None:
    write_version(repository, make_record("query_tower", tokenizer), network, tokenizer.to_bytes())
    before = everything(repository)
    copy, write = shutil.copyfile, triton_config.write_atomically

    def failing_copy(source: Path, target: Path) -> Path:
        if target.name == "model.onnx":
            return copy(source, target)
        raise OSError(number, "the disk failed")

    def failing_write(path: Path, content: bytes) -> None:
        if path.name == "config.pbtxt":
            raise OSError(number, "the disk failed")
        write(path, content)

    if moment == "copying":
        monkeypatch.setattr(shutil, "copyfile", failing_copy)
    else:
        monkeypatch.setattr(triton_config, "write_atomically", failing_write)
    with pytest.raises(StorageFailed, match="no version was added") as caught:
        write_version(
            repository, make_record("query_tower", tokenizer, version=2), network, tokenizer.to_bytes()
        )
    assert caught.value.value == str(repository)
    assert everything(repository) == before
    assert sorted(path.name for path in (repository / "query_tower").iterdir()) == ["1", "config.pbtxt"]


def test_a_first_version_that_fails_leaves_no_model(
    repository: Path, network: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageFailed):
        write_version(repository, make_record("query_tower", tokenizer), network, tokenizer.to_bytes())
    assert everything(repository) == {}


def test_a_native_version_holds_no_runner(repository: Path, network: Path, tokenizer: Tokenizer) -> None:
    record = native_record("query_tower", tokenizer, "onnxruntime")
    folder = write_version(repository, record, network, tokenizer.to_bytes())
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "tokenizer.json", "export.json"}


def tensorrt_pair(folder: Path, tokenizer: Tokenizer) -> tuple[list[ExportRecord], dict[str, BuiltPlan]]:
    folder.mkdir(exist_ok=True)
    records = [native_record(tower, tokenizer, "tensorrt") for tower in TOWERS]
    plans = {record.model: build_plan(folder / f"{record.model}.plan", record) for record in records}
    return records, plans


def test_a_tensorrt_version_holds_plan_and_manifest_beside_the_network(
    repository: Path, network: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    records, plans = tensorrt_pair(tmp_path / "built", tokenizer)
    pairs = [(record, network) for record in records]
    write_pair(repository, pairs, tokenizer.to_bytes(), plans)
    for record in records:
        folder = repository / record.model / "1"
        assert {path.name for path in folder.iterdir()} == {
            "model.onnx",
            "tokenizer.json",
            "export.json",
            "model.cc90.plan",
            "engine.cc90.json",
        }
        assert (folder / "model.cc90.plan").read_bytes() == plans[record.model].file.read_bytes()
        config = (repository / record.model / "config.pbtxt").read_text()
        assert config == config_text(record, ["9.0"])


def test_a_plan_of_another_network_stops_both_towers(
    repository: Path, network: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    records, plans = tensorrt_pair(tmp_path / "built", tokenizer)
    other = build_plan(tmp_path / "other.plan", records[1], onnx_sha256="f" * 64)
    pairs = [(record, network) for record in records]
    with pytest.raises(Mismatch, match="onnx_sha256") as caught:
        write_pair(repository, pairs, tokenizer.to_bytes(), {**plans, "product_tower": other})
    assert (caught.value.expected, caught.value.found) == (records[1].sha256, "f" * 64)
    assert not repository.exists()


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_a_plan_belongs_to_tensorrt_and_to_it_alone(
    repository: Path, network: Path, tokenizer: Tokenizer, tmp_path: Path, target: str
) -> None:
    native = native_record("query_tower", tokenizer, "tensorrt")
    plan = build_plan(tmp_path / "some.plan", native)
    record = native if target == "tensorrt" else make_record("query_tower", tokenizer)
    with pytest.raises(InvalidInput, match="plan"):
        write_version(repository, record, network, tokenizer.to_bytes(), plan if target == "cpu" else None)
    assert not repository.exists()


def test_a_repository_serves_one_target(repository: Path, network: Path, tokenizer: Tokenizer) -> None:
    write_version(repository, make_record("query_tower", tokenizer), network, tokenizer.to_bytes())
    before = everything(repository)
    record = native_record("query_tower", tokenizer, "onnxruntime", version=2)
    with pytest.raises(Mismatch, match="target of the versions of query_tower") as caught:
        write_version(repository, record, network, tokenizer.to_bytes())
    assert (caught.value.expected, caught.value.found) == ("cpu", "onnxruntime")
    assert "--repository" in caught.value.fix
    assert everything(repository) == before


def test_another_target_is_refused_before_anything_is_exported(
    repository: Path, network: Path, tokenizer: Tokenizer
) -> None:
    require_room(repository, "tensorrt", {})  # empty: free
    record = native_record("product_tower", tokenizer, "onnxruntime")
    write_version(repository, record, network, tokenizer.to_bytes())
    require_room(repository, "onnxruntime", {"dim": 16})
    with pytest.raises(Mismatch, match="target of the versions of product_tower") as caught:
        require_room(repository, "tensorrt", {})
    assert (caught.value.expected, caught.value.found) == ("onnxruntime", "tensorrt")


def test_the_first_versions_profiles_hold_for_all(
    repository: Path, network: Path, tokenizer: Tokenizer
) -> None:
    assert settled_profiles(repository, "query_tower") is None
    record = native_record("query_tower", tokenizer, "onnxruntime")
    write_version(repository, record, network, tokenizer.to_bytes())
    assert settled_profiles(repository, "query_tower") == record.profiles
    assert settled_profiles(repository, "product_tower") is None


PROFILE = {"batch": (1, 8, 64), "length": (8, 16, 32)}


@pytest.mark.parametrize(
    ("field", "other"), [("dim", 32), ("views", 3), ("picture_size", 64), ("profiles", [PROFILE])]
)
def test_native_versions_of_other_sizes_are_refused_with_both_values(
    repository: Path, network: Path, tokenizer: Tokenizer, field: str, other: object
) -> None:
    first = native_record("query_tower", tokenizer, "onnxruntime")
    write_version(repository, first, network, tokenizer.to_bytes())
    before = everything(repository)
    second = native_record("query_tower", tokenizer, "onnxruntime", version=2, **{field: other})
    with pytest.raises(Mismatch) as caught:
        write_version(repository, second, network, tokenizer.to_bytes())
    assert caught.value.field.startswith(f"{field} of the versions of query_tower")
    assert (caught.value.expected, caught.value.found) == (getattr(first, field), getattr(second, field))
    assert repr(getattr(first, field)) in str(caught.value)
    assert repr(getattr(second, field)) in str(caught.value)
    assert everything(repository) == before


def test_cpu_versions_of_other_sizes_serve_side_by_side(
    repository: Path, network: Path, tokenizer: Tokenizer
) -> None:
    write_version(repository, make_record("query_tower", tokenizer), network, tokenizer.to_bytes())
    record = make_record("query_tower", tokenizer, version=2, dim=32, views=3, picture_size=64)
    assert write_version(repository, record, network, tokenizer.to_bytes()).is_dir()


def test_a_damaged_record_does_not_stop_a_better_one(
    repository: Path, network: Path, tokenizer: Tokenizer
) -> None:
    write_version(repository, make_record("query_tower", tokenizer), network, tokenizer.to_bytes())
    (repository / "query_tower" / "1" / "export.json").write_text("{")
    record = make_record("query_tower", tokenizer, version=2)
    assert write_version(repository, record, network, tokenizer.to_bytes()).is_dir()


def test_of_a_pair_both_are_written_or_neither(
    repository: Path, network: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [(make_record(tower, tokenizer), network) for tower in TOWERS]
    write_pair(repository, pair, tokenizer.to_bytes())
    before = everything(repository)
    write = triton_config.write_atomically

    def failing_write(path: Path, content: bytes) -> None:
        if path.parent.name == "product_tower":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(triton_config, "write_atomically", failing_write)
    newer = [(make_record(tower, tokenizer, version=2), network) for tower in TOWERS]
    with pytest.raises(StorageFailed):
        write_pair(repository, newer, tokenizer.to_bytes())
    assert everything(repository) == before
    assert sorted(path.name for path in (repository / "query_tower").iterdir()) == ["1", "config.pbtxt"]
