"""Writing so that a crash or a full disk leaves either the old state or the new one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import faults

__all__ = [
    "atomic_path",
    "file_lock",
    "fsync_folder",
    "fsync_tree",
    "storage_errors",
    "try_lock",
    "write_atomically",
]

_FREE_SPACE = "free space there (retiring old releases does), then run again."
_MAKE_WRITABLE = "make that folder writable for this user, or choose another store, then run again."
_STORAGE_FIXES = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: _FREE_SPACE,
    errno.EROFS: _MAKE_WRITABLE,
    errno.EACCES: _MAKE_WRITABLE,
    errno.EPERM: _MAKE_WRITABLE,
    errno.ENOTDIR: "name a folder: something on the path is a file.",
    errno.EIO: "look at the disk's health, or choose another store, then run again.",
}
_LOCK_POLL_S = 0.02


@contextlib.contextmanager
def storage_errors(where: Path, outcome: str) -> Iterator[None]:
    """Turns a full, read-only or failing disk into ``faults.StorageFailed``.

    Libraries wrap the operating system's error in their own, so its causes are looked
    through as well; FAISS gives only words, which carry the system's message.

    Args:
        where: the folder that was written to.
        outcome: what the reader needs to know about the state now ("the active release is unchanged").
    """
    try:
        yield
    except faults.VitrineError:
        raise
    except Exception as error:
        number = _storage_errno(error)
        if number is None:
            raise
        raise faults.StorageFailed(
            f"writing failed: {os.strerror(number)}; {outcome}",
            field="store",
            value=str(where),
            fix=_STORAGE_FIXES[number],
        ) from error


def _storage_errno(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _STORAGE_FIXES:
            return error.errno
        if isinstance(error, RuntimeError | OSError):
            for number in _STORAGE_FIXES:
                if os.strerror(number) in str(error):
                    return number
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a hidden name beside ``path`` to write to; ``path`` is replaced by it when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces ``path`` by ``content`` so that a reader sees the old bytes or the new ones."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Makes every file and folder under ``folder`` durable, and ``folder`` itself last."""
    for path in folder.rglob("*"):
        if path.is_dir():
            fsync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    fsync_folder(folder)


@contextlib.contextmanager
def file_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Holds an exclusive lock that dies with its process, among threads and processes alike.

    Args:
        path: a folder that exists, or a file, which is made.
        timeout_s: how long to wait.

    Raises:
        faults.Occupied: somebody else held it for longer than ``timeout_s``.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + timeout_s
        while not try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise faults.Occupied(
                    f"another process has been changing this store for over {timeout_s:g} s",
                    field="store",
                    value=str(path),
                    fix="let it finish, or end it (`fuser` on this file names it), then run again.",
                )
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Tries to lock an open file or folder; the lock ends when the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
