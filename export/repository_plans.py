"""TensorRT plans in a model repository: one for each kind of GPU, in every version's folder.

A plan runs on the compute capability that it was built for. A fleet of several kinds shares one
repository: whoever has such a GPU builds from the version's ``model.onnx`` and adds the plan here.
Triton looks a plan's file name up by compute capability in config.pbtxt, for all versions alike; so
the names are the same in every folder, and the configuration names every plan that any folder holds.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.triton_config import write_config
from faults import NotFound, Occupied
from releases.engine_manifest import EngineManifest, manifest_name, plan_name, plans_in
from releases.export_record import MODEL_FILE, ExportRecord, read_record, version_folder
from releases.files import atomic_path, storage_errors, write_atomically
from releases.manifest import require_equal
from releases.verify import hash_file

_BUILD_AGAIN = "build the plan from this version's model.onnx, on the machine that will run it."


@dataclass(frozen=True)
class BuiltPlan:
    """A plan that was built and gated, and what is known of it."""

    file: Path
    manifest: EngineManifest


def check_plan(record: ExportRecord, plan: BuiltPlan) -> None:
    """Checks that a plan is one of this version's.

    Raises:
        Mismatch: model, precision, network, profiles, or the plan's own bytes are not those recorded.
    """
    manifest = plan.manifest
    for what, expected, found in (
        ("target of the version", "tensorrt", record.target),
        ("model of the plan", record.model, manifest.model),
        ("precision of the plan", record.precision, manifest.precision),
        ("onnx_sha256 of the plan", record.sha256, manifest.onnx_sha256),
        ("profiles of the plan", record.profiles, manifest.profiles),
        (f"sha256 of {plan.file}", manifest.plan_sha256, hash_file(plan.file).sha256),
    ):
        require_equal(what, expected=expected, found=found, fix=_BUILD_AGAIN)


def put_plan(folder: Path, plan: BuiltPlan) -> None:
    """Writes plan and manifest into a version folder, each whole or not at all, the manifest last."""
    capability = plan.manifest.compute_capability
    with atomic_path(folder / plan_name(capability)) as temporary:
        shutil.copyfile(plan.file, temporary)
    text = plan.manifest.model_dump_json(indent=2) + "\n"
    write_atomically(folder / manifest_name(capability), text.encode())


def add_plans(repository: Path, towers: Sequence[tuple[ExportRecord, BuiltPlan]]) -> None:
    """Adds this machine's plans to versions that are there already; all of them or none.

    Triton reloads a version whose folder has changed at the next load call, so plans are best added
    before the version is activated.

    Args:
        repository: the model repository.
        towers: the record of each version, and a plan built from that version's model.onnx.

    Raises:
        NotFound: there is no such version.
        Mismatch: a plan was built from another network, or for another version.
        Occupied: a version has a plan for this compute capability.
        StorageFailed: the disk refused; the versions are as they were.
    """
    for record, plan in towers:
        _require_addable(version_folder(repository, record), record, plan)
    with storage_errors(repository, "no plan was added to the model repository"):
        try:
            for record, plan in towers:
                put_plan(version_folder(repository, record), plan)
            for record, _ in towers:
                write_config(repository, record)
        except BaseException:
            _take_back(repository, towers)
            raise


def _require_addable(folder: Path, record: ExportRecord, plan: BuiltPlan) -> None:
    if not folder.is_dir():
        raise NotFound("no such version.", field=record.model, value=record.version, fix="export it first.")
    for what, expected, found in (
        (f"export record in {folder}", read_record(folder), record),
        (f"sha256 of {folder / MODEL_FILE}", record.sha256, hash_file(folder / MODEL_FILE).sha256),
    ):
        require_equal(what, expected=expected, found=found, fix=_BUILD_AGAIN)
    check_plan(record, plan)
    capability = plan.manifest.compute_capability
    if capability in plans_in(folder):
        raise Occupied(
            "the version has a plan for this compute capability, and a release may be made of it.",
            field=str(folder / plan_name(capability)),
            value=capability,
            fix="export the checkpoint again as a new version.",
        )


def _take_back(repository: Path, towers: Sequence[tuple[ExportRecord, BuiltPlan]]) -> None:
    for record, plan in towers:
        capability = plan.manifest.compute_capability
        for name in (manifest_name(capability), plan_name(capability)):
            (version_folder(repository, record) / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # what was written already must not name a plan that is gone
        for record, _ in towers:
            write_config(repository, record)
