"""Opens the response cache that the settings ask for, counted by the gateway's metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter

from retrieval_gateway.cache.counters import ErrorReason, Tier, Waited
from retrieval_gateway.cache.memory import MemoryTier
from retrieval_gateway.cache.popularity import Popularity
from retrieval_gateway.cache.prewarm import prewarm
from retrieval_gateway.cache.redis_tier import RedisTier
from retrieval_gateway.cache.response_cache import ResponseCache
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.query import SearchQuery, SimilarQuery
from retrieval_gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)

Replay = Callable[[SearchQuery | SimilarQuery, LoadedRelease], Awaitable[None]]
_AT_ONCE = 2


class MeteredCounters:
    """Passes what the cache reports on to Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.cache_events
        self._kinds: dict[str, Counter] = {}

    def hit(self, tier: Tier) -> None:
        """A tier had the answer."""
        self._count(f"{tier}_hit")

    def miss(self, tier: Tier) -> None:
        """A tier did not have the answer."""
        self._count(f"{tier}_miss")

    def error(self, tier: Tier, reason: ErrorReason) -> None:
        """A tier failed; the search went on without it."""
        self._count(f"{tier}_{reason}")

    def shared(self) -> None:
        """A search joined a computation under way."""
        self._count("shared_flight")

    def waited(self, outcome: Waited) -> None:
        """A search waited for what another gateway computes."""
        self._count(f"lease_{outcome}")

    def not_admitted(self) -> None:
        """An answer was not kept in memory."""
        self._count("memory_not_admitted")

    def _count(self, kind: str) -> None:
        """Looks a kind up once: finding a metric's child costs more than a hit's own work."""
        counter = self._kinds.get(kind)
        if counter is None:
            counter = self._kinds[kind] = self._events.labels(kind)
        counter.inc()


def open_cache(settings: GatewaySettings, metrics: Metrics) -> ResponseCache:
    """Returns the two tiers; the shared one only where ``redis_url`` is set. Nothing is connected yet."""
    counters = MeteredCounters(metrics)
    popularity = Popularity()
    memory = MemoryTier(settings.cache_memory_bytes, popularity=popularity, sights=settings.cache_sights)
    shared = (
        RedisTier(settings.redis_url, counters, timeout_s=settings.redis_timeout_s)
        if settings.redis_url
        else None
    )
    return ResponseCache(
        memory,
        shared,
        counters,
        popularity=popularity,
        ttl_s=settings.cache_ttl_s,
        lease_s=settings.cache_lease_s,
    )


def prewarmer(
    cache: ResponseCache, replay: Replay, settings: GatewaySettings
) -> Callable[[LoadedRelease], Awaitable[None]]:
    """Returns what fills the cache for a release that is about to serve; it yields to live computations."""

    async def fill(release: LoadedRelease) -> None:
        done = await prewarm(
            cache.hottest(settings.prewarm_queries),
            lambda query: replay(query, release),
            concurrency=_AT_ONCE,
            limit_s=settings.prewarm_s,
            busy=lambda: cache.under_way > _AT_ONCE,
        )
        log.info(
            "release prewarmed",
            release=release.release_id,
            answered=done.answered,
            failed=done.failed,
            left=done.left,
            problem=done.problem,
        )

    return fill
