"""A release of the gateway's store, as the gateway tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retrieval_gateway.api.generated import release_service_pb2 as pb

__all__ = ["Release"]


@dataclass(frozen=True, slots=True)
class Release:
    """One release of the gateway's store.

    Args:
        release_id: its id.
        created_at: when it was published; None where its manifest is damaged.
        products: how many it has.
        serving: this gateway serves it.
        active: the store names it as the active one.
        catalogue_fingerprint: SHA-256 of the catalogue that was indexed, in hex.
    """

    release_id: str
    created_at: datetime | None
    products: int
    serving: bool
    active: bool
    catalogue_fingerprint: str

    @classmethod
    def of(cls, message: pb.Release) -> Release:
        """Returns a release as the gateway told it."""
        return cls(
            message.release_id,
            datetime.fromisoformat(message.created_at) if message.created_at else None,
            message.products,
            message.serving,
            message.active,
            message.catalogue_fingerprint,
        )
