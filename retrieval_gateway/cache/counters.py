"""What the cache reports about itself; where the numbers go is decided elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Protocol

__all__ = ["CacheCounters", "ErrorReason", "TallyCounters", "Tier"]

Tier = Literal["memory", "redis"]
ErrorReason = Literal["timeout", "connection", "refused", "poisoned", "too_large", "busy"]


class CacheCounters(Protocol):
    """Called on the event loop, so an implementation must not block."""

    def hit(self, tier: Tier) -> None:
        """A tier had the answer."""
        ...

    def miss(self, tier: Tier) -> None:
        """A tier was asked and did not have the answer; a failing tier counts a miss too."""
        ...

    def error(self, tier: Tier, reason: ErrorReason) -> None:
        """A tier failed: no answer in time, no connection, a refusal, or a value that was not ours."""
        ...

    def shared(self) -> None:
        """A caller joined a computation that was already under way."""
        ...


class TallyCounters:
    """Counts in memory: for tests, and for whoever wants no metrics."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def hit(self, tier: Tier) -> None:
        """Counts ``hit:<tier>``."""
        self.counts[f"hit:{tier}"] += 1

    def miss(self, tier: Tier) -> None:
        """Counts ``miss:<tier>``."""
        self.counts[f"miss:{tier}"] += 1

    def error(self, tier: Tier, reason: ErrorReason) -> None:
        """Counts ``error:<tier>:<reason>``."""
        self.counts[f"error:{tier}:{reason}"] += 1

    def shared(self) -> None:
        """Counts ``shared``."""
        self.counts["shared"] += 1
