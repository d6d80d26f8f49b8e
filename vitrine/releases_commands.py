"""``vitrine releases``: shows and switches the releases of the store."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from releases.store import ReleaseStore
from vitrine import retention
from vitrine.local import LocalSettings

app = typer.Typer(help="Shows and switches releases.", no_args_is_help=True)

_Id = Annotated[str, typer.Argument(help="A release's id.")]


def _store() -> ReleaseStore:
    return ReleaseStore(LocalSettings().release_store)


@app.command("list")
def list_releases() -> None:
    """Lists the releases, newest first."""
    table = Table("", Column("release", no_wrap=True), "created", "products", "problem", box=None)
    for info in _store().list():
        created = f"{info.created_at:%Y-%m-%d %H:%M:%S}" if info.created_at else ""
        table.add_row(
            "*" if info.active else "",
            info.release_id,
            created,
            str(info.products or ""),
            Text(info.problem or ""),  # as Text: brackets in a plain string would be markup
        )
    Console().print(table)


@app.command()
def show(release_id: _Id) -> None:
    """Prints a release's manifest."""
    typer.echo(_store().manifest(release_id).to_json())


@app.command()
def activate(release_id: _Id) -> None:
    """Verifies every file of a release and makes it the active one; running gateways follow."""
    _store().activate(release_id)
    typer.echo(f"{release_id} is active")


@app.command()
def rollback() -> None:
    """Goes back to the release that was active before."""
    typer.echo(f"{_store().rollback()} is active")


@app.command()
def retire(
    keep: Annotated[
        int | None,
        typer.Option(help="How many of the newest releases stay; VITRINE_KEPT_RELEASES if absent."),
    ] = None,
) -> None:
    """Removes the oldest releases and their engines.

    Never the active one, the target of a rollback, or one that a gateway serves.
    """
    settings = LocalSettings()
    removed = retention.retire(settings, settings.kept_releases if keep is None else keep)
    typer.echo(f"removed {len(removed)}: {', '.join(removed)}" if removed else "nothing to remove")
