"""Client CPU of a GET: a command for each, and the gets of one turn in one command.

Callers ask in turns: all of them at once, and again when all have their answer. ``one by one`` is a GET
with its own time limit through redis-py; ``gathered`` is the tier as it serves, leases included.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.cache.turns import Turn, cpu_us
from retrieval_gateway.cache import RedisTier, TallyCounters, cache_key, new_lease
from runtime.ports import free_port
from runtime.valkey import ValkeyServer, ValkeySettings

_VALUE = bytes(2048)
_TIMEOUT_S = 1.0
_ROUNDS = 9
_GETS_A_TURN = 1600
_CALLERS = (1, 4, 16, 64)


async def measure() -> list[dict[str, object]]:
    """Returns a row for each number of callers."""
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(ValkeySettings(port=free_port(), folder=Path(folder)))
        server.start()
        try:
            return [await _row(server.url, callers) for callers in _CALLERS]
        finally:
            server.stop(3.0)


async def _row(url: str, callers: int) -> dict[str, object]:
    client = Redis.from_url(url)
    tier = RedisTier(url, TallyCounters(), timeout_s=_TIMEOUT_S)
    keys = [cache_key("20261120T101500Z-abcdef", {"n": number}) for number in range(callers)]
    for key in keys:
        await tier.put(key, _VALUE, 600)

    async def alone(key: str) -> bytes | None:
        async with asyncio.timeout(_TIMEOUT_S):
            value: bytes | None = await client.get(key)  # type: ignore[assignment]  # bytes, as asked for
            return value

    async def gathered(key: str) -> bytes | None:
        return await tier.get(key, new_lease(1.0))

    medians = await cpu_us({"one by one": _turn(alone, keys), "gathered": _turn(gathered, keys)}, _ROUNDS)
    await tier.close()
    await client.aclose()
    return {
        "callers": callers,
        **{f"{name} us": round(median, 1) for name, median in medians.items()},
        "ratio": round(medians["one by one"] / medians["gathered"], 2),
    }


def _turn(get: Callable[[str], Awaitable[bytes | None]], keys: list[str]) -> Turn:
    async def turn() -> int:
        times = max(1, _GETS_A_TURN // len(keys))
        for _ in range(times):
            found = await asyncio.gather(*(get(key) for key in keys))
            if any(value != _VALUE for value in found):
                raise SystemExit("a GET came back without its value: nothing was measured")
        return times * len(keys)

    return turn
