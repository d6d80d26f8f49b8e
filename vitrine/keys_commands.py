"""``vitrine keys``: who may ask the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from retrieval_gateway.security.api_keys import make_key
from retrieval_gateway.security.key_file import SETTING, add_key, read_keys, revoke_key
from vitrine.terminal import console

app = typer.Typer(help="Makes and revokes API keys of the gateway.", no_args_is_help=True)

_File = Annotated[Path, typer.Option("--file", envvar=SETTING, help="The file of keys that gateways follow.")]
_Name = Annotated[str, typer.Argument(help="Who uses the key; stands in the gateway's log.")]
_DEFAULT = Path("var/keys.json")


@app.command()
def add(
    name: _Name,
    admin: Annotated[bool, typer.Option(help="May switch releases as well.")] = False,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second that each gateway process lets through.")
    ] = None,
    file: _File = _DEFAULT,
) -> None:
    """Makes a key and prints it: now and never again, for only its hash is kept."""
    record, key = make_key(name, admin=admin, rate=rate)
    add_key(file, record)
    console.print(f"kept as {name} in {file}; the key is shown this once:", highlight=False)
    typer.echo(key)


@app.command("list")
def list_keys(file: _File = _DEFAULT) -> None:
    """Lists the keys, never the secrets."""
    table = Table("name", Column("id", no_wrap=True), "rights", "a second", "made", box=None)
    for key in read_keys(file):
        rights = "search, switch releases" if key.admin else "search"
        rate = "" if key.rate is None else f"{key.rate:g}"
        table.add_row(key.name, key.key_id, rights, rate, f"{key.created_at:%Y-%m-%d %H:%M:%S}")
    Console().print(table)


@app.command()
def revoke(name: _Name, file: _File = _DEFAULT) -> None:
    """Removes a key; running gateways refuse it within about a second."""
    revoke_key(file, name)
    typer.echo(f"{name} is revoked")
