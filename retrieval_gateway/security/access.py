"""Who a caller is, and what the caller may do: asked once for every request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from faults import NotPermitted

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller who was let in.

    Args:
        name: of the API key; empty where there are no keys.
        admin: may switch releases.
    """

    name: str
    admin: bool


class Access(Protocol):
    """The one decision about a request before any work is done for it."""

    def admit(self, metadata: Metadata, *, admin: bool) -> Caller:
        """Lets a request in.

        Args:
            metadata: of the call.
            admin: whether the RPC needs the admin right.

        Raises:
            Unauthenticated: nobody knows the caller.
            NotPermitted: the caller lacks the admin right.
            Overloaded: the caller asks more often than agreed.
        """


class OpenAccess:
    """No keys: everybody who can connect may search.

    Args:
        admin: everybody may switch releases as well (``VITRINE_RELEASE_ADMIN``).
    """

    def __init__(self, admin: bool) -> None:
        self._caller = Caller("", admin)

    def admit(self, metadata: Metadata, *, admin: bool) -> Caller:  # noqa: ARG002
        """Lets everybody in; see ``Access``."""
        if admin and not self._caller.admin:
            raise NotPermitted(
                "this gateway does not switch releases for its callers",
                field="VITRINE_RELEASE_ADMIN",
                value=False,
                fix="Use `vitrine releases` on the store, give callers keys (VITRINE_KEY_FILE), or start "
                "the gateway with VITRINE_RELEASE_ADMIN=true.",
            )
        return self._caller
