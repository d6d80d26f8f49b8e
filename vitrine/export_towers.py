"""``vitrine export``: a checkpoint becomes gated versions in Triton's model repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.targets import PRECISIONS, TARGETS
from faults import InvalidInput
from vitrine.local import LocalSettings
from vitrine.terminal import command_line, console


def export_towers(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    target: Annotated[str, typer.Option(help=f"What runs the engines: {', '.join(TARGETS)}.")] = TARGETS[0],
    precision: Annotated[
        str, typer.Option(help=f"Numbers of the engines: {', '.join(PRECISIONS)}.")
    ] = PRECISIONS[0],
) -> None:
    """Exports both towers; nothing is written unless both give PyTorch's vectors."""
    for name, value, known in (("--target", target, TARGETS), ("--precision", precision, PRECISIONS)):
        if value not in known:
            raise InvalidInput("not supported", field=name, value=value, fix=f"Use {', '.join(known)}.")
    run_export(checkpoint, LocalSettings().model_repository)


def run_export(checkpoint: Path, repository: Path) -> None:
    """Exports with the console's status line and prints the gates."""
    from export.pipeline import export_checkpoint  # here: see vitrine.train
    from towers.checkpoint import load_checkpoint

    with console.status("exporting") as status:
        records = export_checkpoint(
            load_checkpoint(checkpoint),
            repository,
            command_line(),
            on_stage=lambda stage: status.update(stage),
        )
    for record in records:
        measured = ", ".join(f"{name} {value:.7f}" for name, value in record.gates[0].measured.items())
        console.print(f"{record.model} version {record.version}: {measured}")
