"""CPU of a hit in memory: of the cache alone, with what it keeps count of, and of the bare dictionary.

It also runs on an older version of the cache (a tree of its own): what that does not have is left out.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from benchmarks.cache.turns import Turn, cpu_us
from retrieval_gateway import cache
from retrieval_gateway.metered_cache import MeteredCounters
from retrieval_gateway.metrics import Metrics

_RELEASE = "20261120T101500Z-abcdef"
_REPLY = bytes(2048)
_KEYS = [cache.cache_key(_RELEASE, {"n": number}) for number in range(1000)]
_ROUNDS = 25


async def measure() -> list[dict[str, object]]:
    """Returns a row for each contender; ``alone`` is a cache that counts no requests."""
    contenders = {"dictionary": _dictionary(), "alone": await _hits({}, {})}
    if hasattr(cache, "Popularity"):
        contenders["with popularity"] = await _hits(
            {"popularity": cache.Popularity()}, {"replay": b"request"}
        )
    medians = await cpu_us(contenders, _ROUNDS)
    return [{"hit": name, "us": round(median, 2)} for name, median in medians.items()]


async def _hits(made_with: dict[str, Any], asked_with: dict[str, Any]) -> Turn:
    memory = cache.MemoryTier(2**26, **made_with)
    answers = cache.ResponseCache(memory, None, MeteredCounters(Metrics()), **made_with)

    async def compute() -> bytes:
        return _REPLY

    async def turn() -> int:
        for key in _KEYS:
            await answers.get_or_compute(key, _RELEASE, compute, **asked_with)
        return len(_KEYS)

    await turn()
    return turn


def _dictionary() -> Turn:
    replies = OrderedDict.fromkeys(_KEYS, _REPLY)

    async def turn() -> int:
        for key in _KEYS:
            if replies.get(key) is not None:
                replies.move_to_end(key)
        return len(_KEYS)

    return turn
