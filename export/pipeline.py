"""Checkpoint to Triton model versions: export, convert, gate, and only then publish."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from catalog.preprocessing import preprocessing_hash
from export.onnx_export import tower_graphs
from export.repository import only_writer, write_pair
from export.workshop import ExportJob, GatedTower, Workshop
from releases.export_record import ExportRecord, next_version
from releases.manifest import GateReport
from releases.verify import hash_file


def export_checkpoint(job: ExportJob, on_stage: Callable[[str], None] = lambda _: None) -> list[ExportRecord]:
    """Exports both towers as the repository's next version.

    Both are exported and gated before either is written: a version number names a pair.

    Args:
        job: see there.
        on_stage: told what happens now.

    Returns:
        The records of query tower and product tower.

    Raises:
        InvalidInput: the target does not run this precision, or there is nothing to gate on.
        NotFound: this machine lacks what the target needs.
        Mismatch: the repository serves another target, or engines of other sizes.
        GateFailed: an engine is not good enough; nothing was written.
        StorageFailed: the disk refused.
    """
    with tempfile.TemporaryDirectory(prefix="vitrine-export-") as folder:
        workshop = Workshop(job, Path(folder), on_stage)
        query, product = (
            workshop.gate(graph, workshop.export(graph), workshop.profiles(graph))
            for graph in tower_graphs(job.checkpoint)
        )
        answers = workshop.compare_answers(query, product)
        gated = [(query, (query.numbers,)), (product, (product.numbers, answers))]
        plans = {tower.graph.name: tower.plan(gates) for tower, gates in gated}
        on_stage("publishing")
        with only_writer(job.repository):
            version = next_version(job.repository)
            records = [_record(job, tower, gates, version) for tower, gates in gated]
            write_pair(
                job.repository,
                [(record, tower.onnx_file) for record, (tower, _) in zip(records, gated, strict=True)],
                workshop.tokenizer.to_bytes(),
                {name: plan for name, plan in plans.items() if plan},
                None if job.checkpoint.keywords is None else job.checkpoint.keywords.to_json(),
            )
    return records


def _record(job: ExportJob, tower: GatedTower, gates: tuple[GateReport, ...], version: int) -> ExportRecord:
    recipe = job.checkpoint.recipe
    return ExportRecord(
        model=tower.graph.name,
        version=version,
        sha256=hash_file(tower.onnx_file).sha256,
        target=job.target,
        precision=job.precision,
        runtime=tower.made.engine.name,
        dim=recipe.dim,
        picture_size=recipe.image.size,
        views=recipe.image.views,
        max_query_tokens=recipe.max_query_tokens,
        max_product_tokens=recipe.max_product_tokens,
        profiles=tower.profiles,
        tokenizer_sha256=job.checkpoint.towers.tokenizer.sha256,
        preprocessing_hash=preprocessing_hash(
            recipe.image.size, recipe.max_query_tokens, recipe.max_product_tokens, recipe.image.views
        ),
        gates=gates,
        provenance=asdict(job.checkpoint.provenance),
        command=job.command,
    )
