"""Who uses which releases of a store at the moment when a gateway leaves one of them.

All gateways that share a Triton leave each other's engines alone, so somebody has to take them away at the
end: the last gateway that leaves a release, and for what a killed gateway left behind, the next one
that leaves any. What nobody uses is claimed while it is taken away: nobody begins to use it meanwhile.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from types import TracebackType

from faults import NotFound, VitrineError
from releases.in_use import Hold
from releases.store import ReleaseStore
from retrieval_gateway.triton_keeper import Versions

__all__ = ["ReleaseUsers", "find_users"]

_CLAIM_S = 0.5
"""Long enough to outlast gateways that only look who uses a release."""


@dataclass
class ReleaseUsers:
    """A context manager: what was claimed is free again at its end.

    Attributes:
        left: nobody uses the release that is being left.
        needed: engines of the active release and of those that are used.
        abandoned: engines of releases that nobody uses.
    """

    left: bool = True
    needed: list[Versions] = field(default_factory=list)
    abandoned: list[Versions] = field(default_factory=list)
    claims: list[Hold] = field(default_factory=list)

    def __enter__(self) -> ReleaseUsers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for claim in self.claims:
            claim.close()


def find_users(store: ReleaseStore, leaving_id: str) -> ReleaseUsers:
    """Looks who uses what; blocks.

    Args:
        store: the releases.
        leaving_id: the release that this gateway leaves, and no longer holds.
    """
    users = ReleaseUsers()
    active_id = store.active_id()
    with contextlib.suppress(NotFound):  # it was retired the moment it was let go of
        claim = store.claim(leaving_id, _CLAIM_S)
        users.left = claim is not None
        users.claims += [claim] if claim is not None else []
    for release_id in (info.release_id for info in store.list()):
        if release_id == leaving_id:
            continue
        with contextlib.suppress(VitrineError):  # gone meanwhile, or damaged: what it needs nobody knows
            towers = store.manifest(release_id).towers.values()
            engines = {part.model: part.version for part in towers}
            claim = None if release_id == active_id else store.claim(release_id)
            if claim is None:
                users.needed.append(engines)
            else:
                users.abandoned.append(engines)
                users.claims.append(claim)
    return users
