"""``vitrine export``: a checkpoint becomes gated versions in Triton's model repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table
from rich.text import Text

from catalog.readers import read_query_log
from export.targets import PRECISIONS, TARGETS, Precision, Target, require_supported
from faults import InvalidInput
from releases.export_record import ExportRecord, version_folder
from vitrine.local import LocalSettings
from vitrine.terminal import command_line, console

if TYPE_CHECKING:
    from towers.checkpoint import Checkpoint


def export_towers(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    target: Annotated[str, typer.Option(help=f"What runs the engines: {', '.join(TARGETS)}.")] = TARGETS[0],
    precision: Annotated[
        str, typer.Option(help=f"Numbers of the engines: {', '.join(PRECISIONS)}.")
    ] = PRECISIONS[0],
    catalog: Annotated[
        Path | None,
        typer.Option(help="On whose queries the gate compares answers; the one trained on if absent."),
    ] = None,
    repository: Annotated[
        Path | None, typer.Option(help="Model repository to write; VITRINE_MODEL_REPOSITORY if absent.")
    ] = None,
    query_log: Annotated[
        Path | None,
        typer.Option(help="CSV with query[,count], for whose lengths native engines are tuned."),
    ] = None,
    add_to: Annotated[
        int | None,
        typer.Option(
            min=1, help="tensorrt: add this GPU's plans to that version instead of exporting a new one."
        ),
    ] = None,
) -> None:
    """Exports both towers; nothing is written unless both pass the gates, in numbers and in answers."""
    require_supported(target, precision)
    if query_log and target == "cpu":
        raise InvalidInput(
            "engines of this target have no profiles to tune",
            field="--query-log",
            value=str(query_log),
            fix="Leave it out, or export for another --target.",
        )
    run_export(
        checkpoint,
        repository or LocalSettings().model_repository,
        catalog,
        cast(Target, target),
        cast(Precision, precision),
        read_query_log(query_log) if query_log else None,
        add_to,
    )


def run_export(
    checkpoint: Path,
    repository: Path,
    catalogue: Path | None = None,
    target: Target = "cpu",
    precision: Precision = "fp32",
    traffic: Mapping[str, int] | None = None,
    add_to: int | None = None,
) -> None:
    """Exports with the console's status line and prints the gates."""
    from export.fleet import add_this_gpu  # here: see vitrine.train
    from export.pipeline import export_checkpoint
    from export.workshop import ExportJob
    from towers.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    job = ExportJob(
        loaded,
        repository,
        catalogue or _trained_on(loaded),
        target,
        precision,
        traffic,
        command_line(),
        LocalSettings().var / "timing-caches",
    )
    with console.status("exporting") as status:

        def on_stage(stage: str) -> None:
            status.update(stage)

        records = (
            add_this_gpu(job, add_to, on_stage) if add_to is not None else export_checkpoint(job, on_stage)
        )
    console.print(gate_table(records))
    for record in records:
        tuned = f", tuned for {_shapes(record)}" if record.profiles else ""
        where = version_folder(repository, record)
        console.print(f"{record.model} {record.precision} for {target}: {where}{tuned}")


def _shapes(record: ExportRecord) -> str:
    """Returns the profiles' rows and tokens, each smallest/usual/largest."""
    return "; ".join(
        f"{'/'.join(map(str, profile.batch))} rows of {'/'.join(map(str, profile.length))} tokens"
        for profile in record.profiles
    )


def gate_table(records: list[ExportRecord]) -> Table:
    """Returns everything that the gates measured, with what was asked of it."""
    table = Table("gate", "measure", "measured", "asked", box=None, header_style="bold", pad_edge=False)
    for record in records:
        for gate in record.gates:
            for place, (name, value) in enumerate(gate.measured.items()):
                asked = gate.thresholds.get(name)
                bound = "" if asked is None else f"{'<=' if name.startswith('largest_') else '>='} {asked:g}"
                table.add_row(Text("" if place else gate.name), name, f"{value:.6g}", bound)
    return table


def _trained_on(checkpoint: Checkpoint) -> Path:
    folder = Path(checkpoint.provenance.catalogue_source)
    if not folder.is_dir():
        raise InvalidInput(
            "the catalogue that the towers were trained on is not here, and the gate needs one",
            field="--catalog",
            value=str(folder),
            fix="Name a catalogue folder with queries, judged ones at best.",
        )
    return folder
