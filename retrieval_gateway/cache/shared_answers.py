"""Answers in the shared tier, and who computes the ones that are missing.

Of several gateways that miss the same answer at the same time one holds the lease and computes; the
others look again every few milliseconds until its answer is there. They wait a bounded time. Then, or
as soon as the lease is gone, they compute themselves: a gateway that dies costs the others a moment,
never an error. Polling, not publish and subscribe: most answers come within a poll or two, the polls of
all waiting requests travel together, and there is no second connection that can die on its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

from retrieval_gateway.cache.counters import CacheCounters
from retrieval_gateway.cache.envelope import open_envelope, seal_envelope
from retrieval_gateway.cache.lease import Lease, is_lease, new_lease
from retrieval_gateway.cache.shared_tier import SharedTier

__all__ = ["SharedAnswers"]

_MOST_PENDING_WRITES = 256
_FIRST_POLL_S = 0.002
_LONGEST_POLL_S = 0.025


class SharedAnswers:
    """Used from one event loop.

    Args:
        tier: where the values lie.
        counters: told of hits, misses, poisoned values and what became of waiting.
        lease_s: how long a gateway may compute for the others, and the longest that one waits for
            another; 0 for no leases.
    """

    def __init__(self, tier: SharedTier, counters: CacheCounters, *, lease_s: float) -> None:
        self._tier = tier
        self._counters = counters
        self._lease_s = lease_s
        self._writes: set[asyncio.Task[None]] = set()

    async def answer(
        self,
        key: str,
        release_id: str,
        compute: Callable[[], Awaitable[bytes]],
        *,
        ttl_s: float,
        budget_s: float | None,
    ) -> tuple[bytes, Literal["redis", "computed"]]:
        """Returns the payload and where it came from; raises what ``compute`` raises.

        What was computed is stored beside the reply's way: the shopper does not wait for it.

        Args:
            key: from ``cache_key``.
            release_id: the release that the key was made for.
            compute: makes the payload.
            ttl_s: how long it is to be kept.
            budget_s: time that the caller has left, or None; at most half of it is spent on looking
                and waiting, so that there is time to compute.
        """
        lease = new_lease(self._lease_s) if self._lease_s else None
        try:
            payload = await self._find(key, release_id, lease, budget_s)
            if payload is not None:
                return payload, "redis"
            payload = await compute()
        except BaseException:  # also the last caller's leaving: the others need not wait for nothing
            if lease is not None:
                self._later(self._tier.release(key, lease))
            raise
        self._later(self._store(key, seal_envelope(payload, key=key, release_id=release_id), ttl_s, lease))
        return payload, "computed"

    async def close(self) -> None:
        """Waits for what is being stored, and lets go of the tier."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._tier.close()

    async def _find(
        self, key: str, release_id: str, lease: Lease | None, budget_s: float | None
    ) -> bytes | None:
        until = math.inf if budget_s is None else _now() + budget_s / 2
        value = await self._look(key, lease, until)
        if value is not None and is_lease(value):
            value = await self._wait_for_another(key, lease, min(until, _now() + self._lease_s))
        payload = None if value is None else open_envelope(value, key=key, release_id=release_id)
        if payload is not None:
            self._counters.hit("redis")
            return payload
        if value is not None:
            self._counters.error("redis", "poisoned")
        self._counters.miss("redis")
        return None

    async def _look(self, key: str, lease: Lease | None, until: float) -> bytes | None:
        if until == math.inf:
            return await self._tier.get(key, lease)
        try:
            async with asyncio.timeout_at(until):
                return await self._tier.get(key, lease)
        except TimeoutError:
            self._counters.error("redis", "timeout")
            return None

    async def _wait_for_another(self, key: str, lease: Lease | None, until: float) -> bytes | None:
        """Returns what another gateway stored, or None when this one is to compute."""
        pause_s = _FIRST_POLL_S
        try:
            async with asyncio.timeout_at(until):
                while True:
                    await asyncio.sleep(pause_s)
                    value = await self._tier.get(key, lease)
                    if value is None or not is_lease(value):
                        self._counters.waited("taken_over" if value is None else "answered")
                        return value
                    pause_s = min(2 * pause_s, _LONGEST_POLL_S)
        except TimeoutError:
            self._counters.waited("in_vain")
            return None

    async def _store(self, key: str, value: bytes, ttl_s: float, lease: Lease | None) -> None:
        if not await self._tier.put(key, value, ttl_s) and lease is not None:
            await self._tier.release(key, lease)

    def _later(self, write: Coroutine[Any, Any, None]) -> None:
        if len(self._writes) >= _MOST_PENDING_WRITES:
            write.close()
            self._counters.error("redis", "busy")
            return
        task = asyncio.create_task(write)
        self._writes.add(task)  # the event loop itself keeps only weak references
        task.add_done_callback(self._writes.discard)


def _now() -> float:
    """Returns the event loop's time: monotonic, and what its timeouts go by."""
    return asyncio.get_running_loop().time()
