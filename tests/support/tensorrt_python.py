"""An interpreter that has a ``tensorrt``: this one, with the fake or a few lines of a test on its path."""

import sys
from pathlib import Path

FAKE = (
    "from support.fake_tensorrt import fake_tensorrt\nglobals().update(vars(fake_tensorrt('11.4.0.106')))\n"
)


def interpreter_with(folder: Path, module: str = FAKE) -> str:
    """Writes the interpreter into an empty folder; ``module`` is the source of its ``tensorrt``."""
    folder.mkdir(parents=True)
    (folder / "tensorrt.py").write_text(module)
    tests = Path(__file__).resolve().parent.parent
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}:{tests}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return str(python)
