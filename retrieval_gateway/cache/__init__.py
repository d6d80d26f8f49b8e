"""Answers that were given before: an in-process tier, Redis behind it, one computation a key.

The cache is keyed by release, so a switch of releases needs no clearing, and its loss is a
miss, never an error. It lives on one event loop and is used from that loop only. ``docs/cache.md``
says how the parts work together.
"""

from retrieval_gateway.cache.counters import CacheCounters, TallyCounters
from retrieval_gateway.cache.envelope import open_envelope, seal_envelope
from retrieval_gateway.cache.hottest import Hot
from retrieval_gateway.cache.key import KeyPart, cache_key
from retrieval_gateway.cache.lease import Lease, is_lease, new_lease
from retrieval_gateway.cache.memory import MemoryTier
from retrieval_gateway.cache.popularity import Popularity
from retrieval_gateway.cache.prewarm import Prewarmed, prewarm
from retrieval_gateway.cache.redis_tier import RedisTier
from retrieval_gateway.cache.response_cache import CacheAnswer, ResponseCache
from retrieval_gateway.cache.shared_tier import FakeSharedTier, SharedTier

__all__ = [
    "CacheAnswer",
    "CacheCounters",
    "FakeSharedTier",
    "Hot",
    "KeyPart",
    "Lease",
    "MemoryTier",
    "Popularity",
    "Prewarmed",
    "RedisTier",
    "ResponseCache",
    "SharedTier",
    "TallyCounters",
    "cache_key",
    "is_lease",
    "new_lease",
    "open_envelope",
    "prewarm",
    "seal_envelope",
]
