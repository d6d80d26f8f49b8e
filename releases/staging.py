"""A hidden folder in which a release grows until it is complete.

Its builder holds a lock on the folder itself. The lock dies with the process, whatever
kills it, so a folder whose lock is free is rubbish and may be swept: no process ids, which
are used again by strangers, and no ages, which a slow build would outlive.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from releases.files import try_lock

__all__ = ["STAGING_PREFIX", "stage", "sweep"]

STAGING_PREFIX = ".staging-"


@contextlib.contextmanager
def stage(root: Path, lock: contextlib.AbstractContextManager[None]) -> Iterator[Path]:
    """Makes a staging folder, and removes whatever is left of it, and of dead builders, around that.

    Args:
        root: the store; staging lies in it so that publishing is a rename on one file system.
        lock: the store's lock, held while the folder exists but is not locked yet.
    """
    folder = root / f"{STAGING_PREFIX}{secrets.token_hex(6)}"
    with lock:
        sweep(root)
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try_lock(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def sweep(root: Path) -> list[str]:
    """Removes the staging folders of dead builders; call it under the store's lock."""
    removed = []
    for folder in sorted(root.glob(f"{STAGING_PREFIX}*")):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if try_lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder.name)
        finally:
            os.close(descriptor)
    return removed
