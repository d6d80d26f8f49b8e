"""The command line in this process, in a folder of its own, without the caller's settings."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.tiny_shop import write_tiny_shop

from catalog.held_out import is_held_out
from catalog.schema import EvaluationQuery, Judgement, Product
from catalog.writers import write_catalogue
from vitrine import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VITRINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def vitrine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command as the console script does."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/vitrine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.run()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else int(code is not None), out, err)

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The tiny shop on disk, with clicks, queries and judgements."""
    return write_tiny_shop(tmp_path / "shop")


@pytest.fixture
def split_shop(tmp_path: Path) -> Path:
    """Seven products of styles that are trained on and three of held-out ones."""
    styles = [f"style-{number}" for number in range(100)]
    trained = [style for style in styles if not is_held_out(style)][:7]
    held_out = [style for style in styles if is_held_out(style)][:3]
    folder = tmp_path / "split-shop"
    write_catalogue(
        folder,
        [Product(f"of-{style}", title="mug", style_group=style) for style in trained + held_out],
        [],
        queries=[EvaluationQuery("q1", "mug", "category")],
        judgements=[Judgement("q1", f"of-{style}", 2) for style in (trained[0], held_out[0])],
    )
    return folder
