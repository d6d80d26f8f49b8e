"""What the response cache asks of the tier that gateways share, and a stand-in for it.

The stand-in lives with the code, not with the tests, because the same scenarios run against it
and against a real server: only that shows that it may stand in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from retrieval_gateway.cache.lease import Lease
from retrieval_gateway.cache.memory import MemoryTier

__all__ = ["FakeSharedTier", "SharedTier"]

_PLENTY = 2**30


class SharedTier(Protocol):
    """Bytes by key, outside this process. Its failures are misses: no method raises for them."""

    async def get(self, key: str, lease: Lease | None = None) -> bytes | None:
        """Returns the value, or None if there is none or the tier failed.

        Where there is none, the lease takes its place in the same step, so that the next who
        asks gets the lease's value.
        """
        ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores a value for ``ttl_s`` seconds, whatever was there; False if the tier failed."""
        ...

    async def release(self, key: str, lease: Lease) -> None:
        """Takes a lease away, unless something else lies there by now."""
        ...

    async def close(self) -> None:
        """Lets go of all connections; what comes after is a miss."""
        ...


class FakeSharedTier:
    """A shared tier in memory.

    Args:
        clock: seconds, monotonic.

    Attributes:
        down: while True, it behaves like a server that is gone.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._values = MemoryTier(_PLENTY, clock=clock)
        self.down = False

    async def get(self, key: str, lease: Lease | None = None) -> bytes | None:
        """Returns the value, or None and keeps the lease in its place."""
        if self.down:
            return None
        value = self._values.get(key)
        if value is None and lease is not None:
            self._values.put(key, lease.value, lease.seconds)
        return value

    async def put(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores a value unless the tier is down."""
        if not self.down:
            self._values.put(key, value, ttl_s)
        return not self.down

    async def release(self, key: str, lease: Lease) -> None:
        """Takes the lease away if it is still there."""
        if not self.down and self._values.get(key) == lease.value:
            self._values.discard(key)

    async def close(self) -> None:
        """Is down from now on."""
        self.down = True
