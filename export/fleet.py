"""A version's plans for one more kind of GPU.

A fleet of several kinds serves one version. Its ONNX file was made once; on a machine with
another GPU only the plan is built from it, gated like any engine, and put beside the others.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from export.onnx_export import tower_graphs
from export.repository import only_writer
from export.repository_plans import add_plans
from export.targets import Precision
from export.workshop import ExportJob, Workshop
from faults import InternalError, InvalidInput, NotFound
from releases.export_record import MODEL_FILE, TOKENIZER_FILE, ExportRecord, read_record, version_folders
from releases.manifest import require_equal


def add_this_gpu(
    job: ExportJob, version: int, on_stage: Callable[[str], None] = lambda _: None
) -> list[ExportRecord]:
    """Builds this machine's plans for a version that is in the repository, and adds them.

    Args:
        job: its checkpoint must be the one that the version was exported from; its precision is
            taken from the version.
        version: of both towers.
        on_stage: told what happens now.

    Returns:
        The version's records, with the gates of the plans that were added.

    Raises:
        NotFound: there is no such version, or this machine lacks TensorRT or a GPU.
        Mismatch: the version is of another target or another checkpoint.
        Occupied: it has plans for this kind of GPU.
        GateFailed: a plan is not good enough; nothing was added.
    """
    if job.target != "tensorrt":
        raise InvalidInput(
            "only plans are made for each kind of GPU",
            field="--add-to",
            value=f"{version} with --target {job.target}",
            fix="add --target tensorrt, or leave --add-to out to export a new version.",
        )
    folders = [_version_folder(job, graph.name, version) for graph in tower_graphs(job.checkpoint)]
    records = [read_record(folder) for folder in folders]
    for record in records:
        _require_same(job, record)
    job = replace(job, precision=cast(Precision, records[0].precision))
    with tempfile.TemporaryDirectory(prefix="vitrine-export-") as temporary:
        workshop = Workshop(job, Path(temporary), on_stage, folders[0] / TOKENIZER_FILE)
        towers = []
        for graph, folder, record in zip(tower_graphs(job.checkpoint), folders, records, strict=True):
            onnx_file = Path(temporary) / f"{graph.name}-{MODEL_FILE}"
            shutil.copyfile(folder / MODEL_FILE, onnx_file)
            towers.append(workshop.gate(graph, onnx_file, record.profiles))
        answers = workshop.compare_answers(*towers)
        gates = [(towers[0].numbers,), (towers[1].numbers, answers)]
        plans = [tower.plan(reports) for tower, reports in zip(towers, gates, strict=True)]
        if None in plans:
            raise InternalError("the tensorrt target made no plan")
        on_stage("publishing")
        with only_writer(job.repository):
            add_plans(job.repository, list(zip(records, filter(None, plans), strict=True)))
    return [
        record.model_copy(update={"gates": reports}) for record, reports in zip(records, gates, strict=True)
    ]


def _version_folder(job: ExportJob, model: str, version: int) -> Path:
    folder = job.repository / model / str(version)
    if not folder.is_dir():
        there = [path.name for path in version_folders(job.repository, model)]
        raise NotFound(
            f"no such version of {model}",
            field="--add-to",
            value=version,
            fix=f"Name one of {', '.join(there)}." if there else "Export one first, without --add-to.",
        )
    return folder


def _require_same(job: ExportJob, record: ExportRecord) -> None:
    for what, expected, found in (
        ("target", record.target, job.target),
        ("tokenizer sha256", record.tokenizer_sha256, job.checkpoint.towers.tokenizer.sha256),
        ("training command", record.provenance.get("command"), job.checkpoint.provenance.command),
    ):
        require_equal(
            f"{what} of version {record.version} of {record.model}",
            expected=expected,
            found=found,
            fix="name the checkpoint and the target that the version was exported from.",
        )
