"""Who uses a release: a lock on its folder that all users share, and that dies with its process.

No file says so, because a killed process could not take it back, and no clock, because a slow one
would be taken for dead. Reading rights are enough: a gateway may have the store read-only. Where the
file system has no locks, nobody is seen to use anything.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

import faults

__all__ = ["Hold", "claim", "engine_turn", "hold"]

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
_POLL_S = 0.01
_ENGINE_TURN_S = 30.0
"""Longer than loading a tower takes, and a bound: a process that hangs must not stop all the others."""


class Hold:
    """A lock on a release's folder, until it is closed; a context manager."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # a thread may return it to a caller who has been cancelled

    def close(self) -> None:
        """Lets go; harmless if repeated."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(folder: Path) -> Hold:
    """Says that this process uses a release; waits while somebody has claimed it.

    Raises:
        faults.NotFound: there is no such folder, or it was removed while we waited.
    """
    held = Hold(_opened(folder))
    try:
        _locked(held, fcntl.LOCK_SH)
        _require_there(held, folder)
    except BaseException:
        held.close()
        raise
    return held


def claim(folder: Path, within_s: float = 0.0) -> Hold | None:
    """Takes a release that nobody uses for oneself; None if somebody does.

    Args:
        folder: the release's.
        within_s: how long to try, in seconds: others may only be looking.

    Raises:
        faults.NotFound: there is no such folder.
    """
    held = Hold(_opened(folder))
    deadline = time.monotonic() + within_s
    while not _locked(held, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if time.monotonic() >= deadline:
            held.close()
            return None
        time.sleep(_POLL_S)
    return held


def engine_turn(root: Path) -> contextlib.AbstractContextManager[object]:
    """Waits for one's turn to change which engines Triton has loaded for a store's releases.

    Loading beside what is there is reading, adding and writing: of two gateways that did so at once,
    the second would unload what the first has just loaded. Whoever waits too long goes on without.

    Args:
        root: the store's folder; where there is none, there is nobody to wait for.
    """
    try:
        return claim(root, _ENGINE_TURN_S) or contextlib.nullcontext()
    except faults.NotFound:
        return contextlib.nullcontext()


def _opened(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _gone(folder) from error


def _locked(held: Hold, how: int) -> bool:
    assert held._descriptor is not None
    try:
        fcntl.flock(held._descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            held.close()
            raise
    return True


def _require_there(held: Hold, folder: Path) -> None:
    """Whoever claimed the folder may have removed it: then we have locked what no longer has a name."""
    assert held._descriptor is not None
    try:
        there = os.path.samestat(os.fstat(held._descriptor), folder.stat())
    except FileNotFoundError:
        there = False
    if not there:
        raise _gone(folder)


def _gone(folder: Path) -> faults.NotFound:
    return faults.NotFound(
        f"no such release in {folder.parent}",
        field="release",
        value=folder.name,
        fix="`vitrine releases list` shows the ids.",
    )
