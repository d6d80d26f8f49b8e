"""Which release is active, and which were before: two small files and the order they are written in.

``ACTIVE`` holds one id, ``HISTORY`` the ids that were active before, oldest first. Each is
replaced by a rename, but not both at once; so the order of writing is chosen such that a crash
in between leaves the active id at the end of the history, where reading skips it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from releases.files import write_atomically

__all__ = ["ActivePointer"]

_HISTORY_KEPT = 100


class ActivePointer:
    """The two files of one store. Writers must hold the store's lock."""

    def __init__(self, root: Path) -> None:
        self._active = root / "ACTIVE"
        self._history = root / "HISTORY"

    def current(self) -> str | None:
        """Returns the active id, or None where nothing was activated yet."""
        try:
            return self._active.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def earlier(self, present: Collection[str]) -> list[str]:
        """Returns the ids that can be rolled back to, the nearest last.

        Args:
            present: ids that the store still has; others are passed over.
        """
        ids = [release_id for release_id in self._read_history() if release_id in present]
        current = self.current()
        while ids and ids[-1] == current:
            ids.pop()
        return ids

    def switch(self, release_id: str) -> None:
        """Makes a release the active one and remembers the one before."""
        current = self.current()
        if current == release_id:
            return
        if current is not None:
            self._write_history([*self._read_history(), current])
        write_atomically(self._active, f"{release_id}\n".encode())

    def step_back(self, earlier: list[str]) -> None:
        """Makes the last of ``earlier`` the active one and forgets that it came before."""
        write_atomically(self._active, f"{earlier[-1]}\n".encode())
        self._write_history(earlier[:-1])

    def _read_history(self) -> list[str]:
        try:
            return self._history.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return []

    def _write_history(self, ids: list[str]) -> None:
        kept = ids[-_HISTORY_KEPT:]
        write_atomically(self._history, "".join(f"{release_id}\n" for release_id in kept).encode())
