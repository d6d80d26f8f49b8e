"""Checkpoint to Triton model versions: export, gate, and only then publish."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import onnxruntime

from catalog.preprocessing import preprocessing_hash
from export.onnx_export import TowerGraph, export_onnx, tower_graphs
from export.parity import check_parity, samples
from export.repository import write_pair
from export.targets import PRECISIONS, TARGETS
from releases.export_record import MODEL_FILE, ExportRecord, next_version
from releases.manifest import GateReport
from releases.verify import hash_file
from towers.checkpoint import Checkpoint


def export_checkpoint(
    checkpoint: Checkpoint,
    repository: Path,
    command: str,
    texts: Sequence[str] = (),
    on_stage: Callable[[str], None] = lambda _: None,
) -> list[ExportRecord]:
    """Exports both towers as the repository's next version, for the ``cpu`` target in fp32.

    Both are exported and gated before either is written: a version number names a pair.

    Args:
        checkpoint: trained towers.
        repository: Triton's model repository.
        command: the command line, kept beside the model.
        texts: ordinary texts for the gate, beside the hostile ones.
        on_stage: told what happens now.

    Returns:
        The records of query tower and product tower.

    Raises:
        GateFailed: a tower does not give PyTorch's vectors; nothing was written.
        StorageFailed: the disk refused.
    """
    gated: list[tuple[TowerGraph, Path, GateReport]] = []
    with tempfile.TemporaryDirectory(prefix="vitrine-export-") as folder:
        for graph in tower_graphs(checkpoint):
            path = Path(folder) / f"{graph.name}-{MODEL_FILE}"
            on_stage(f"exporting {graph.name}")
            export_onnx(graph, path)
            on_stage(f"comparing {graph.name} with PyTorch")
            gated.append((graph, path, _gate(checkpoint, graph, path, texts)))
        version = next_version(repository)
        pair = [
            (_record(checkpoint, graph, path, report, version, command), path)
            for graph, path, report in gated
        ]
        write_pair(repository, pair, checkpoint.towers.tokenizer.to_bytes())
    return [record for record, _ in pair]


def _gate(checkpoint: Checkpoint, graph: TowerGraph, path: Path, texts: Sequence[str]) -> GateReport:
    recipe = checkpoint.recipe
    rows = samples(checkpoint.towers.tokenizer, recipe, graph.limits["max_tokens"], texts)
    return check_parity(graph, path, rows, recipe.image.views, PRECISIONS[0])


def _record(
    checkpoint: Checkpoint, graph: TowerGraph, path: Path, report: GateReport, version: int, command: str
) -> ExportRecord:
    recipe = checkpoint.recipe
    return ExportRecord(
        model=graph.name,
        version=version,
        sha256=hash_file(path).sha256,
        target=TARGETS[0],
        precision=PRECISIONS[0],
        runtime=f"onnxruntime {onnxruntime.__version__}",
        dim=recipe.dim,
        picture_size=recipe.image.size,
        views=recipe.image.views,
        max_query_tokens=recipe.max_query_tokens,
        max_product_tokens=recipe.max_product_tokens,
        tokenizer_sha256=checkpoint.towers.tokenizer.sha256,
        preprocessing_hash=preprocessing_hash(
            recipe.image.size, recipe.max_query_tokens, recipe.max_product_tokens, recipe.image.views
        ),
        gates=(report,),
        provenance=asdict(checkpoint.provenance),
        command=command,
    )
