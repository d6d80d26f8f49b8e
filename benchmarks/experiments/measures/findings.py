"""What a measure gives: named arrays, and how they lie on disk."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from catalog.atomic import make_folder, write_atomically

__all__ = ["Findings", "read_findings", "write_findings"]

Findings: TypeAlias = dict[str, npt.NDArray[Any]]
"""By name; a number is an array without axes."""


def write_findings(path: Path, findings: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes an npz file, whole or not at all."""
    make_folder(path.parent)
    write_atomically(path, lambda stream: _save(stream, findings))


def _save(stream: BinaryIO, findings: Mapping[str, npt.NDArray[Any]]) -> None:
    arrays: dict[str, Any] = dict(findings)
    np.savez_compressed(stream, **arrays)


def read_findings(path: Path) -> Findings | None:
    """Reads an npz file; None where there is none, or only a torn one."""
    try:
        # From memory: of a torn file np.load leaves the stream open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (FileNotFoundError, BadZipFile, ValueError, EOFError, KeyError):
        return None
