"""Runs the Python examples of docs/client.md: against scripted gateways, and against real ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"
_ADDRESSES = ("127.0.0.1:50051", "127.0.0.1:50052")


def _examples() -> dict[str, str]:
    """By heading and place, the page's blocks of Python."""
    found = {}
    for section in re.split(r"^## ", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = section.partition("\n")[0]
        for place, block in enumerate(
            re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        ):
            found[f"{heading}, {place}" if place else heading] = block
    return found


EXAMPLES = _examples()


def run_example(
    heading: str, addresses: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs one block as a program of its own, with the page's addresses replaced by these.

    Args:
        heading: which one.
        addresses: of two gateways.
        folder: becomes the working directory, with the file that the page mentions in it.
        monkeypatch: undoes that.
    """
    code = EXAMPLES[heading]
    for written, real in zip(_ADDRESSES, addresses, strict=True):
        code = code.replace(written, real)
    (folder / "ca.pem").write_bytes(b"")
    monkeypatch.chdir(folder)
    exec(compile(code, f"{_PAGE.name}: {heading}", "exec"), {"__name__": "__main__"})
