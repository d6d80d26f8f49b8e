"""What ``vitrine releases list`` shows of a release, damaged ones included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import faults
from releases.manifest import read_manifest

__all__ = ["ReleaseInfo", "describe"]


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """One line of ``vitrine releases list``.

    ``problem`` says why the manifest cannot be read, in which case the other facts are None.
    """

    release_id: str
    active: bool
    created_at: datetime | None
    products: int | None
    index_kind: str | None
    index_recall: float | None
    target: str | None
    bytes: int | None
    command: str | None
    catalogue_fingerprint: str | None = None
    problem: str | None = None


def describe(folder: Path, *, active: bool) -> ReleaseInfo:
    """Reads the manifest of one release; a damaged one must not hide the others, so it is described too."""
    try:
        manifest = read_manifest(folder)
    except faults.UserError as error:
        return ReleaseInfo(folder.name, active, None, None, None, None, None, None, None, problem=str(error))
    return ReleaseInfo(
        release_id=folder.name,
        active=active,
        created_at=manifest.created_at,
        products=manifest.catalogue.products,
        index_kind=manifest.index.kind,
        index_recall=manifest.index.recall,
        target=manifest.engine.target,
        bytes=sum(part.bytes for part in manifest.files.values()),
        command=manifest.command,
        catalogue_fingerprint=manifest.catalogue.fingerprint,
    )
