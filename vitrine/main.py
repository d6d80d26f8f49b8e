"""``vitrine``: the commands, and the one place where our errors become exit codes."""

from __future__ import annotations

import signal
import sys

import typer
from rich.markup import escape

from faults import OperationalError, UserError, VitrineError
from vitrine import (
    demo,
    evaluate,
    export_towers,
    index,
    keys_commands,
    releases_commands,
    sample_shop,
    search,
    serve,
    similar,
    train,
)
from vitrine.terminal import console

app = typer.Typer(
    name="vitrine",
    help="Multimodal product retrieval: train, export, index, serve, search, measure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("sample-shop")(sample_shop.sample_shop)
app.command("train")(train.train)
app.command("export")(export_towers.export_towers)
app.command("index")(index.index)
app.add_typer(releases_commands.app, name="releases")
app.add_typer(keys_commands.app, name="keys")
app.command("serve")(serve.serve)
app.command("search")(search.search)
app.command("similar")(similar.similar)
app.command("evaluate")(evaluate.evaluate)
app.command("demo")(demo.demo)


def exit_code(error: VitrineError) -> int:
    """2: the caller can mend it; 3: the surroundings failed, later may work; 1: our bug."""
    if isinstance(error, UserError):
        return 2
    return 3 if isinstance(error, OperationalError) else 1


def run() -> None:
    """Runs the command line."""
    # SIGTERM like Ctrl-C: whatever was started is stopped by the same way out. SIGINT is set as well:
    # a shell starts background jobs with it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        app()
    except VitrineError as error:
        console.print(f"[bold red]vitrine:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
