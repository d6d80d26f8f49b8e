"""Where a training keeps its progress, and that no other training to the same checkpoint runs meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from catalog.atomic import make_folder
from faults import Occupied
from releases.files import try_lock


def progress_folder(out: Path) -> Path:
    """Returns where the progress of the training to ``out`` is kept: beside it, on the same disk."""
    out = out.resolve()
    return out.with_name(f".{out.name}.progress")


@contextlib.contextmanager
def only_training(out: Path) -> Iterator[Path]:
    """Yields the progress folder, which is made, and holds its lock, which dies with this process.

    An empty folder is removed afterwards. Of the processes of one distributed training, only the first
    takes the lock.

    Raises:
        Occupied: another training to ``out`` is under way.
        StorageFailed: the folder cannot be made, so that no checkpoint could be written either.
    """
    folder = progress_folder(out)
    if os.environ.get("RANK", "0") != "0":  # set by torchrun
        yield folder
        return
    descriptor = _locked(folder, out)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
        os.close(descriptor)


def _locked(folder: Path, out: Path) -> int:
    while True:
        make_folder(folder)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not _try_lock(descriptor):
            os.close(descriptor)
            raise Occupied(
                "another training to this checkpoint is under way",
                field="--out",
                value=str(out),
                fix="Wait until it ends, end it, or name another folder.",
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        # A training that ended just now removed the folder that we locked.
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        return try_lock(descriptor)
    except OSError:
        return True  # a file system without locks: better to train than to refuse
