"""Files that appear whole or not at all.

A reader that opens a catalogue while it is written, or after the disk ran full, must find
the old file or the new one: so everything is written beside its place and renamed.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from faults import StorageFailed

__all__ = ["make_folder", "write_atomically"]

_FIXES = {
    errno.ENOSPC: "Free space on this disk, or write elsewhere.",
    errno.EDQUOT: "The quota is used up: free space, or write elsewhere.",
    errno.EROFS: "The file system is read-only: write elsewhere.",
    errno.EACCES: "Give this user the right to write there, or write elsewhere.",
}


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls ``write`` with a binary stream and puts what it wrote at ``path``.

    Raises:
        StorageFailed: the disk is full, read-only or refuses; ``path`` is as it was.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _storage_failed(path, error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            write(cast("BinaryIO", stream))
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # mkstemp hides the file from everybody else
        Path(temporary).replace(path)
    except OSError as error:
        raise _storage_failed(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Creates ``folder`` and its parents; raises StorageFailed where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _storage_failed(folder, error) from error


def _storage_failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"cannot be written ({error.strerror or error}); what was there before is untouched.",
        field=str(path),
        fix=_FIXES.get(error.errno or 0, "Look at the disk, then try again."),
    )
