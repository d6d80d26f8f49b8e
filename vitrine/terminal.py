"""What the sub-commands print with: one console, progress bars, and the command line to keep."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(stderr=True)
"""For people. Results for programs go to standard output."""


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar while the block runs; the block calls the yielded function with what is done so far.

    Where nobody watches (a pipe, CI) one line is printed at the end instead.
    """
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def command_line() -> str:
    """Returns the command that runs now, as one would type it, to be kept with what it makes."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
