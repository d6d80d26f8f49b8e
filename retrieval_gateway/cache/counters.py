"""What the cache reports about itself; where the numbers go is decided elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Protocol

__all__ = ["CacheCounters", "ErrorReason", "TallyCounters", "Tier", "Waited"]

Tier = Literal["memory", "redis"]
ErrorReason = Literal["timeout", "connection", "refused", "poisoned", "too_large", "busy"]
Waited = Literal["answered", "taken_over", "in_vain"]


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

    def waited(self, outcome: Waited) -> None:
        """Another gateway was at work: it answered, its lease was gone, or the wait ended without either."""
        ...

    def not_admitted(self) -> None:
        """An answer was not kept in memory: the tier is full of what is asked more often."""
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

    def waited(self, outcome: Waited) -> None:
        """Counts ``waited:<outcome>``."""
        self.counts[f"waited:{outcome}"] += 1

    def not_admitted(self) -> None:
        """Counts ``not_admitted``."""
        self.counts["not_admitted"] += 1
