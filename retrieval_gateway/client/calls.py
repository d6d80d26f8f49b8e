"""What both clients know of a call before it is made; no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval_gateway.client.connection import ConnectionOptions, connection_of, metadata_of
from retrieval_gateway.client.retry import Attempts

__all__ = ["Calls"]


class Calls:
    """Deadlines, metadata and the retry budget of one client; arguments as the client's own."""

    def __init__(self, address: str | Sequence[str], timeout_s: float, options: ConnectionOptions) -> None:
        self.connection = connection_of(address, timeout_s, options)
        self._budget = self.connection.retries.budget()

    @property
    def where(self) -> str:
        """The addresses, for messages."""
        return str(self.connection)

    def read(self, timeout_s: float | None) -> Attempts:
        """Returns the attempts of a call that changes nothing."""
        timeout_s = self.connection.timeout_s if timeout_s is None else timeout_s
        return Attempts(self.connection.retries, self._budget, timeout_s)

    def release_read(self, timeout_s: float | None) -> Attempts:
        """Returns the attempts of a call about releases that changes nothing."""
        return self.read(self._release_timeout_s(timeout_s))

    def release_change(self, timeout_s: float | None) -> Attempts:
        """Returns the one attempt of a call that switches releases."""
        left_s = self._release_timeout_s(timeout_s)
        return Attempts(self.connection.retries, self._budget, left_s, safe=False)

    def batch_timeout_s(self, timeout_s: float | None) -> float:
        """Returns the deadline of a whole batch, in seconds."""
        return self.connection.batch_timeout_s if timeout_s is None else timeout_s

    def metadata(self, traceparent: str = "") -> tuple[tuple[str, str], ...]:
        """Returns what a call carries beside its message; raises as ``metadata_of``."""
        return metadata_of(self.connection.api_key, traceparent)

    def _release_timeout_s(self, timeout_s: float | None) -> float:
        return self.connection.release_timeout_s if timeout_s is None else timeout_s
