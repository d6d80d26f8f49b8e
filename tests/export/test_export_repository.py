import errno
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from support.exported_pairs import make_record, tiny_tokenizer
from tritonclient.grpc import model_config_pb2

from catalog.tokenizer import Tokenizer
from export import repository as repository_module
from export.repository import PARTS, config_text, write_version
from faults import StorageFailed
from releases.export_record import ExportRecord

TOWERS = ("query_tower", "product_tower")
TYPES = model_config_pb2.DataType


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


def parsed(record: ExportRecord) -> model_config_pb2.ModelConfig:
    return text_format.Parse(config_text(record), model_config_pb2.ModelConfig())


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


@pytest.mark.parametrize("tower", TOWERS)
def test_the_configuration_is_tritons(tower: str, tokenizer: Tokenizer) -> None:
    config = parsed(make_record(tower, tokenizer, version=7))
    assert (config.name, config.backend, config.default_model_filename) == (tower, "python", "model.py")
    assert list(config.version_policy.specific.versions) == [7]
    assert [(group.count, group.kind) for group in config.instance_group] == [
        (1, model_config_pb2.ModelInstanceGroup.KIND_CPU)
    ]


def test_the_configurations_tensors_are_the_contracts(tokenizer: Tokenizer) -> None:
    query, product = (parsed(make_record(tower, tokenizer)) for tower in TOWERS)
    texts = {"input_ids": (TYPES.TYPE_INT64, [-1]), "attention_mask": (TYPES.TYPE_INT64, [-1])}
    assert {value.name: (value.data_type, list(value.dims)) for value in query.input} == texts
    assert {value.name: (value.data_type, list(value.dims)) for value in product.input} == {
        **texts,
        "pixels": (TYPES.TYPE_UINT8, [-1, -1, -1, 3]),
        "has_text": (TYPES.TYPE_BOOL, [1]),
        "has_image": (TYPES.TYPE_BOOL, [-1]),
    }
    assert [value.name for value in query.output] == ["query_embedding"]
    assert [value.name for value in product.output] == ["product_embedding", "modality_weights"]
    assert {value.data_type for value in (*query.output, *product.output)} == {TYPES.TYPE_FP32}


@pytest.mark.parametrize("tower", TOWERS)
def test_the_configuration_batches_without_what_stalls_this_triton(tower: str, tokenizer: Tokenizer) -> None:
    config = parsed(make_record(tower, tokenizer))
    assert config.HasField("dynamic_batching")
    batching = config.dynamic_batching
    assert config.max_batch_size > 1
    assert max(batching.preferred_batch_size) <= config.max_batch_size
    assert batching.priority_levels == 0
    assert not batching.HasField("default_queue_policy")
    assert not batching.priority_queue_policy
    assert not config.model_warmup


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
    copy, write = shutil.copyfile, repository_module.write_atomically

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
        monkeypatch.setattr(repository_module, "write_atomically", failing_write)
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
