"""Opens the response cache that the settings ask for, counted by the gateway's metrics."""

from __future__ import annotations

from retrieval_gateway.cache.counters import ErrorReason, Tier
from retrieval_gateway.cache.memory import MemoryTier
from retrieval_gateway.cache.redis_tier import RedisTier
from retrieval_gateway.cache.response_cache import ResponseCache
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.settings import GatewaySettings


class MeteredCounters:
    """Passes what the cache reports on to Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.cache_events

    def hit(self, tier: Tier) -> None:
        """A tier had the answer."""
        self._events.labels(f"{tier}_hit").inc()

    def miss(self, tier: Tier) -> None:
        """A tier did not have the answer."""
        self._events.labels(f"{tier}_miss").inc()

    def error(self, tier: Tier, reason: ErrorReason) -> None:
        """A tier failed; the search went on without it."""
        self._events.labels(f"{tier}_{reason}").inc()

    def shared(self) -> None:
        """A search joined a computation under way."""
        self._events.labels("shared_flight").inc()


def open_cache(settings: GatewaySettings, metrics: Metrics) -> ResponseCache:
    """Returns the two tiers; the shared one only where ``redis_url`` is set. Nothing is connected yet."""
    counters = MeteredCounters(metrics)
    shared = RedisTier(settings.redis_url, counters) if settings.redis_url else None
    return ResponseCache(
        MemoryTier(settings.cache_memory_bytes), shared, counters, ttl_s=settings.cache_ttl_s
    )
