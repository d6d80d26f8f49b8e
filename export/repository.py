"""Writes exported towers into a Triton model repository, each tower as a new version.

A version folder is filled under a hidden name beside the model's folders and renamed:
Triton never meets half a version, and what serves is never touched.
"""

from __future__ import annotations

import contextlib
import shutil
import string
import tempfile
from collections.abc import Sequence
from pathlib import Path

from releases.export_record import EXPORT_RECORD, MODEL_FILE, TOKENIZER_FILE, ExportRecord, version_folder
from releases.files import fsync_tree, storage_errors, write_atomically

PARTS = Path(__file__).resolve().parent.parent / "model_repository"
"""Where the templates and the runner lie."""

_INSTANCES = 1
"""Model instances on a CPU: two compete for the same cores and gained nothing in measurements."""


def write_version(repository: Path, record: ExportRecord, onnx_file: Path, tokenizer: bytes) -> Path:
    """Adds one version and returns its folder; the model's config.pbtxt is written with it.

    Args:
        repository: Triton's model repository.
        record: what is known of the version.
        onnx_file: the gated graph.
        tokenizer: bytes of the tokenizer that belongs to it.

    Raises:
        StorageFailed: the disk refused; nothing is left behind.
    """
    target = version_folder(repository, record)
    with storage_errors(repository, "no version was added to the model repository"):
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{record.model}-", dir=repository))
        try:
            shutil.copyfile(onnx_file, staging / MODEL_FILE)
            for part in sorted((PARTS / "runner").glob("*.py")):
                shutil.copyfile(part, staging / part.name)
            (staging / TOKENIZER_FILE).write_bytes(tokenizer)
            (staging / EXPORT_RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
            fsync_tree(staging)
            staging.chmod(0o755)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        try:
            write_atomically(target.parent / "config.pbtxt", config_text(record).encode())
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    return target


def write_pair(repository: Path, towers: Sequence[tuple[ExportRecord, Path]], tokenizer: bytes) -> None:
    """Adds a query tower and the product tower that belongs to it; both or neither.

    Args:
        repository: Triton's model repository.
        towers: record and graph of each.
        tokenizer: bytes of the tokenizer that both read.

    Raises:
        StorageFailed: the disk refused; neither version is there.
    """
    written: list[Path] = []
    configs = [version_folder(repository, record).parent / "config.pbtxt" for record, _ in towers]
    before = {path: path.read_bytes() for path in configs if path.is_file()}
    try:
        for record, onnx_file in towers:
            written.append(write_version(repository, record, onnx_file, tokenizer))
    except BaseException:
        for folder in written:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # a configuration must not name a version that is gone
            for path in configs:
                if path in before:
                    write_atomically(path, before[path])
                else:
                    path.unlink(missing_ok=True)
        raise


def config_text(record: ExportRecord) -> str:
    """Returns the config.pbtxt of a tower for the record's target."""
    template = (PARTS / "templates" / f"{record.model}.{record.target}.pbtxt").read_text(encoding="utf-8")
    return string.Template(template).substitute(version=record.version, instances=_INSTANCES)
