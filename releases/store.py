"""The store of releases: a folder of folders, of which one is active.

    <root>/20261120T101500Z-3f9a1c/manifest.json, vectors.npy, …   a release, never changed again
    <root>/.staging-…/                                            one that is being built
    <root>/ACTIVE                                                 the id that is served
    <root>/HISTORY                                                ids that were active before, oldest first

Publishing and activating are two steps on purpose: a release that passed its gates can be
looked at, and tried beside the active one, before any shopper meets it. Changes to the store
are serialised by a file lock; readers need none, because every change they can see is a rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import faults
from releases.active import ActivePointer
from releases.files import file_lock, fsync_folder, fsync_tree, storage_errors
from releases.in_use import Hold, claim, engine_turn, hold
from releases.listing import ReleaseInfo, describe
from releases.manifest import (
    MANIFEST_NAME,
    FilePart,
    Manifest,
    ReleaseDraft,
    read_manifest,
)
from releases.staging import stage, sweep
from releases.verify import hash_files, verify_files

__all__ = ["ReleaseInfo", "ReleaseStore"]

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_LOCK_TIMEOUT_S = 60.0
_Ids = list[str]
"""Inside the class below the name ``list`` is its method."""


class ReleaseStore:
    """Releases under one root folder.

    Args:
        root: made when first written to.
        clock: gives the time of publication; tests pass their own.
        lock_timeout_s: how long a change waits for another process's change, seconds.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lock_timeout_s: float = _LOCK_TIMEOUT_S,
    ) -> None:
        self.root = root
        self._active = ActivePointer(root)
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s

    # -- reading ---------------------------------------------------------------------------

    def active_id(self) -> str | None:
        """Returns the id of the active release, or None where nothing was activated yet."""
        return self._active.current()

    def list(self) -> list[ReleaseInfo]:
        """Returns all releases, newest first; one with a damaged manifest is listed with its problem."""
        active = self.active_id()
        ids = reversed(self._ids())
        return [describe(self.root / release_id, active=release_id == active) for release_id in ids]

    def path(self, release_id: str) -> Path:
        """Returns the folder of a release.

        Raises:
            faults.NotFound: no such release in this store.
        """
        folder = self.root / release_id
        if not _ID.fullmatch(release_id) or not folder.is_dir():
            raise faults.NotFound(
                f"no such release in {self.root}",
                field="release",
                value=release_id,
                fix="`vitrine releases list` shows the ids.",
            )
        return folder

    def manifest(self, release_id: str) -> Manifest:
        """Reads the manifest of a release. Raises like ``path`` and ``read_manifest``."""
        return read_manifest(self.path(release_id))

    def verify(self, release_id: str, progress: Callable[[int], None] | None = None) -> Manifest:
        """Checks a release against its manifest, byte for byte, and returns the manifest.

        Raises:
            faults.Mismatch: the folder's name or a file is not what was published.
        """
        folder, manifest = self.path(release_id), self.manifest(release_id)
        if manifest.release_id != release_id:
            raise faults.Mismatch(
                "release_id",
                expected=manifest.release_id,
                found=release_id,
                fix="give the folder the name that its manifest has.",
            )
        verify_files(folder, manifest.files, progress)
        return manifest

    # -- using -----------------------------------------------------------------------------

    def hold(self, release_id: str) -> Hold:
        """Says that this process uses a release, until the hold is closed: it is not retired meanwhile.

        Waits while somebody has claimed it. Raises like ``path``.
        """
        return hold(self.path(release_id))

    def claim(self, release_id: str, within_s: float = 0.0) -> Hold | None:
        """Takes a release for oneself for as long as the hold is open; None if somebody uses it.

        Args:
            release_id: the release.
            within_s: how long to try, in seconds: others may only be looking.

        Raises like ``path``.
        """
        return claim(self.path(release_id), within_s)

    def in_use(self) -> _Ids:
        """Returns the ids of the releases that some process uses, oldest first."""
        used = []
        for release_id in self._ids():
            with contextlib.suppress(faults.NotFound):
                free = self.claim(release_id)
                if free is None:
                    used.append(release_id)
                else:
                    free.close()
        return used

    def engine_turn(self) -> contextlib.AbstractContextManager[object]:
        """Waits for one's turn to change which engines Triton has loaded: see ``in_use.engine_turn``."""
        return engine_turn(self.root)

    # -- changing --------------------------------------------------------------------------

    def publish(self, build: Callable[[Path], ReleaseDraft]) -> Manifest:
        """Builds a release in a hidden folder and makes it visible in one step.

        Whatever fails on the way, including the process itself, leaves the store as it was.
        The new release is not active yet.

        Args:
            build: fills the empty folder that it is given and returns what it knows about it.

        Raises:
            faults.StorageFailed: the disk is full or read-only.
            faults.Occupied: the same content was published within the same second.
        """
        with storage_errors(self.root, "nothing was published and the active release is unchanged"):
            self.root.mkdir(parents=True, exist_ok=True)
            with stage(self.root, self._lock()) as folder:
                manifest = self._complete(build(folder), hash_files(folder))
                (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
                fsync_tree(folder)
                self._reveal(folder, manifest.release_id)
            return manifest

    def activate(
        self, release_id: str, *, verify: bool = True, progress: Callable[[int], None] | None = None
    ) -> Manifest:
        """Makes a release the active one; the one before becomes the target of ``rollback``.

        Args:
            release_id: a release of this store; activating the active one changes nothing.
            verify: read every file and compare its hash first.
            progress: called with the number of bytes verified, once a file.

        Raises:
            faults.NotFound: no such release.
            faults.Mismatch: a file is not what was published; the active release stays.
            faults.StorageFailed: the switch could not be written; the active release stays.
        """
        manifest = self.verify(release_id, progress) if verify else self.manifest(release_id)
        with storage_errors(self.root, "the active release is unchanged"), self._lock():
            self.path(release_id)  # it may have been retired while we verified
            self._active.switch(release_id)
        return manifest

    def rollback(self, *, verify: bool = True) -> str:
        """Activates the release that was active before, and returns its id.

        Rolling back again goes one further back. Releases that are gone are passed over.

        Raises:
            faults.NotFound: no release was active before this one.
            faults.Mismatch: that release is damaged; the active one stays.
        """
        with storage_errors(self.root, "the active release is unchanged"):
            if not self.root.is_dir():
                raise self._nothing_before()
            with self._lock():
                earlier = self._active.earlier(self._ids())
                if not earlier:
                    raise self._nothing_before()
                if verify:
                    self.verify(earlier[-1])
                self._active.step_back(earlier)
                return earlier[-1]

    def retire(self, keep: int) -> _Ids:
        """Removes the oldest releases until ``keep`` are left, and returns the removed ids.

        The active release, the one that ``rollback`` would return to, and those that some process
        uses are never removed, even if more than ``keep`` stay for that.

        Raises:
            faults.InvalidInput: ``keep`` is below 1.
        """
        if keep < 1:
            raise faults.InvalidInput(
                "at least one release must stay",
                field="keep",
                value=keep,
                fix="keep 2 to be able to roll back.",
            )
        if not self.root.is_dir():
            return []
        with self._lock():
            sweep(self.root)
            ids = self._ids()
            safe = {self.active_id(), *self._active.earlier(ids)[-1:]}
            removed: _Ids = []
            for release_id in ids:
                if len(ids) - len(removed) > keep and release_id not in safe and self._remove(release_id):
                    removed.append(release_id)
            return removed

    # -- inside ----------------------------------------------------------------------------

    def _remove(self, release_id: str) -> bool:
        """Removes a release, unless somebody uses it."""
        free = self.claim(release_id)
        if free is None:
            return False
        with free:
            # Renamed to a name that the next sweep removes: never half a release under its id.
            gone = self.root / f".staging-retired-{release_id}"
            (self.root / release_id).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        return True

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return file_lock(self.root / ".lock", self._lock_timeout_s)

    def _ids(self) -> _Ids:
        """Ids from the oldest to the newest: they begin with the time."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if _ID.fullmatch(path.name) and path.is_dir())

    def _nothing_before(self) -> faults.NotFound:
        return faults.NotFound(
            "no release was active before this one, so there is nothing to roll back to",
            field="release",
            value=self.active_id(),
            fix="`vitrine releases activate <id>` switches to any release of `vitrine releases list`.",
        )

    def _complete(self, draft: ReleaseDraft, files: dict[str, FilePart]) -> Manifest:
        """Adds to a draft what only the store knows; the id is the time and a hash of the content."""
        created = self._clock().astimezone(UTC).replace(microsecond=0)
        content = hashlib.sha256(draft.model_dump_json().encode())
        for name, part in sorted(files.items()):
            content.update(f"\n{name} {part.sha256}".encode())
        return Manifest(
            **{name: getattr(draft, name) for name in type(draft).model_fields},
            release_id=f"{created:%Y%m%dT%H%M%SZ}-{content.hexdigest()[:6]}",
            created_at=created,
            files=files,
        )

    def _reveal(self, folder: Path, release_id: str) -> None:
        with self._lock():
            if (self.root / release_id).exists():
                raise faults.Occupied(
                    "the same content was published within the same second",
                    field="release",
                    value=release_id,
                    fix="use that release.",
                )
            folder.rename(self.root / release_id)
            fsync_folder(self.root)
