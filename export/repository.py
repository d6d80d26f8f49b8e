"""Writes exported towers into a Triton model repository, each tower as a new version.

A version folder is filled under a hidden name beside the model's folders and renamed:
Triton never meets half a version, and what serves is never touched. One repository
serves one target, and for native targets towers of one size: see ``_require_alike``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from export.repository_plans import BuiltPlan, check_plan, put_plan
from export.triton_config import MAX_BATCH_SIZE, PARTS, require_profiles, write_config
from faults import InvalidInput, StorageFailed
from releases.export_record import (
    EXPORT_RECORD,
    KEYWORDS_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    ExportRecord,
    OptimisationProfile,
    read_record,
    version_folder,
    version_folders,
)
from releases.files import file_lock, fsync_tree, storage_errors, write_atomically
from releases.manifest import require_equal

_PATIENCE_S = 60.0
_NATIVE_SIZES = ("dim", "views", "picture_size", "profiles")
"""What native configurations fix, for all versions of a model at once."""


def write_version(
    repository: Path,
    record: ExportRecord,
    onnx_file: Path,
    tokenizer: bytes,
    plan: BuiltPlan | None = None,
    keywords: bytes | None = None,
) -> Path:
    """Adds one version and returns its folder; the model's config.pbtxt is written with it.

    Args:
        repository: Triton's model repository.
        record: what is known of the version.
        onnx_file: the gated graph.
        tokenizer: bytes of the tokenizer that belongs to it.
        plan: for ``tensorrt``, this machine's plan.
        keywords: of queries, where the tower reads them.

    Raises:
        InvalidInput: a plan is missing or too many, or profiles do not cover what Triton may send.
        Mismatch: the plan is not this version's, or the repository serves another target or other sizes.
        StorageFailed: the disk refused; nothing is left behind.
    """
    _require_writable(repository, record, plan)
    target = version_folder(repository, record)
    with storage_errors(repository, "no version was added to the model repository"):
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{record.model}-", dir=repository))
        try:
            shutil.copyfile(onnx_file, staging / MODEL_FILE)
            if record.target == "cpu":
                for part in sorted((PARTS / "runner").glob("*.py")):
                    shutil.copyfile(part, staging / part.name)
            if plan is not None:
                put_plan(staging, plan)
            (staging / TOKENIZER_FILE).write_bytes(tokenizer)
            if keywords is not None:
                (staging / KEYWORDS_FILE).write_bytes(keywords)
            (staging / EXPORT_RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
            fsync_tree(staging)
            staging.chmod(0o755)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        try:
            write_config(repository, record)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    return target


def write_pair(
    repository: Path,
    towers: Sequence[tuple[ExportRecord, Path]],
    tokenizer: bytes,
    plans: Mapping[str, BuiltPlan] | None = None,
    keywords: bytes | None = None,
) -> None:
    """Adds a query tower and the product tower that belongs to it; both or neither.

    Args:
        repository: Triton's model repository.
        towers: record and graph of each.
        tokenizer: bytes of the tokenizer that both read.
        plans: for ``tensorrt``, by model name this machine's plan of each.
        keywords: of queries, where the query tower reads them.

    Raises:
        InvalidInput, Mismatch: as ``write_version``; nothing was written.
        StorageFailed: the disk refused; neither version is there.
    """
    plans = plans or {}
    for record, _ in towers:
        _require_writable(repository, record, plans.get(record.model))
    written: list[Path] = []
    configs = [version_folder(repository, record).parent / "config.pbtxt" for record, _ in towers]
    before = {path: path.read_bytes() for path in configs if path.is_file()}
    try:
        for record, onnx_file in towers:
            plan = plans.get(record.model)
            words = keywords if record.model == "query_tower" else None
            written.append(write_version(repository, record, onnx_file, tokenizer, plan, words))
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


@contextlib.contextmanager
def only_writer(repository: Path) -> Iterator[None]:
    """Holds a model repository, so that version numbers and configurations have one writer at a time.

    Raises:
        Occupied: somebody else has been writing for a minute.
        StorageFailed: the folder cannot be made.
    """
    with storage_errors(repository, "nothing was written"):
        repository.mkdir(parents=True, exist_ok=True)
    with file_lock(repository, _PATIENCE_S):
        yield


def require_room(repository: Path, target: str, sizes: Mapping[str, int]) -> None:
    """Refuses a repository that cannot take such engines: asked before an export spends its minutes.

    Args:
        repository: the model repository; need not exist yet.
        target: of the engines.
        sizes: their dim, views and picture_size.

    Raises:
        Mismatch: it serves another target, or, where the configuration fixes them, other sizes.
        StorageFailed: it cannot be written.
    """
    there = next((path for path in (repository, *repository.absolute().parents) if path.exists()), repository)
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        raise StorageFailed(
            "no version could be added to the model repository: this folder cannot be written",
            field="--repository",
            value=str(there),
            fix="make it writable for this user, or name another --repository.",
        )
    for model in MAX_BATCH_SIZE:
        record = _readable_record(repository, model)
        if record is None:
            continue
        _require_equal(repository, record, "target", target)
        for name, value in sizes.items() if target != "cpu" else ():
            _require_equal(repository, record, name, value)


def settled_profiles(repository: Path, model: str) -> tuple[OptimisationProfile, ...] | None:
    """Returns the profiles that a repository's versions of a tower have, None where there are none yet.

    A further native version is refused unless it has the same: one configuration names and warms up
    the profiles of all versions.
    """
    there = _readable_record(repository, model)
    return there.profiles if there is not None else None


def _require_writable(repository: Path, record: ExportRecord, plan: BuiltPlan | None) -> None:
    _require_alike(repository, record)
    require_profiles(record)
    if (plan is not None) != (record.target == "tensorrt"):
        raise InvalidInput(
            f"target {record.target} is written {'without' if plan else 'with'} a plan.",
            field="plan",
            value=plan and str(plan.file),
            fix="build a plan for the target tensorrt, and for it alone.",
        )
    if plan is not None:
        check_plan(record, plan)


def _require_alike(repository: Path, record: ExportRecord) -> None:
    """Refuses a version that cannot serve under one config.pbtxt with those that are there.

    Backend and plans belong to the configuration, so the target is one. The native backends compare
    its sizes with every file, and its warm-up runs on every version: there sizes and profiles are one too.
    """
    there = _readable_record(repository, record.model)
    if there is None:
        return
    native = () if record.target == "cpu" else _NATIVE_SIZES
    for field in ("target", *native):
        _require_equal(repository, there, field, getattr(record, field))


def _require_equal(repository: Path, there: ExportRecord, field: str, found: object) -> None:
    require_equal(
        f"{field} of the versions of {there.model} in {repository}",
        expected=getattr(there, field),
        found=found,
        fix="export into a repository of its own with --repository.",
    )


def _readable_record(repository: Path, model: str) -> ExportRecord | None:
    """Returns the newest record that can be read: a damaged one is no reason to refuse a better one."""
    for folder in reversed(version_folders(repository, model)):
        with contextlib.suppress(InvalidInput):
            return read_record(folder)
    return None
