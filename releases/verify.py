"""Hashing the files of a release, and checking them against the manifest.

Sizes are compared before any byte is hashed, so that a torn copy of a ten-gigabyte release
is refused at once instead of after a minute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import faults
from releases.manifest import MANIFEST_NAME, FilePart

__all__ = ["hash_file", "hash_files", "verify_files"]

_FIX = "copy the release again from where it was published, or publish it again with `vitrine index`."


def hash_file(path: Path) -> FilePart:
    """Returns the sha256 and the size of one file, read in blocks."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FilePart(sha256=digest.hexdigest(), bytes=file.tell())


def hash_files(folder: Path) -> dict[str, FilePart]:
    """Hashes every file under ``folder`` but the manifest; keys are relative POSIX paths, sorted.

    Raises:
        faults.InvalidInput: something in it is neither a file nor a folder (a link could change later).
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise faults.InvalidInput(
                "a release holds plain files only",
                field="files",
                value=str(path),
                fix="copy the file itself into the release.",
            )
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_NAME:
            files[name] = hash_file(path)
    return files


def verify_files(
    folder: Path, files: Mapping[str, FilePart], progress: Callable[[int], None] | None = None
) -> None:
    """Checks that every file named is there and is byte for byte what was published.

    Args:
        folder: the release.
        files: what the manifest says.
        progress: called with the number of bytes checked, once a file.

    Raises:
        faults.Mismatch: the first file that is missing, of another size or of another hash.
    """
    for name, expected in files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() and not path.is_symlink() else None
        if found != expected.bytes:
            raise faults.Mismatch(
                f"{folder.name}/{name}: bytes",
                expected=expected.bytes,
                found="no such file" if found is None else found,
                fix=_FIX,
            )
    for name, expected in files.items():
        actual = hash_file(folder / name)
        if actual.sha256 != expected.sha256:
            raise faults.Mismatch(
                f"{folder.name}/{name}: sha256", expected=expected.sha256, found=actual.sha256, fix=_FIX
            )
        if progress is not None:
            progress(actual.bytes)
