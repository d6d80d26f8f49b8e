"""The two things that Redis must do at once: look up or lease, and take a lease away if it is still ours.

Leasing is part of the look-up because a miss should cost one round trip, not two. It is a script and not
``SET key lease NX GET PX``, which would do the same for one key, because a server that takes no writes
(full, a replica) refuses that command even where the value is there, and because one script for all keys of
a turn costs this process half of what a pipeline of commands does (``python -m benchmarks.cache gathering``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from retrieval_gateway.cache.lease import Lease

__all__ = ["look_up", "take_away"]

_LOOK_UP = """
local found = {}
for i, key in ipairs(KEYS) do
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then
    value = ''
  elseif not value and ARGV[2 * i - 1] ~= '' then
    redis.pcall('SET', key, ARGV[2 * i - 1], 'PX', ARGV[2 * i])
  end
  found[i] = value
end
return found
"""
"""A value of another type than a string is nobody's answer: '' says that something foreign is there. Where
no lease can be written the look-up goes on without one."""

_TAKE_AWAY = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
"""

_LOOK_UP_SHA = hashlib.sha1(_LOOK_UP.encode(), usedforsecurity=False).hexdigest()


async def look_up(client: Redis, asked: Sequence[tuple[str, Lease | None]]) -> list[bytes | None]:
    """Returns the values by key; where there is none and a lease is given, the lease takes its place.

    Raises:
        RedisError: the server failed, or allows no scripts.
    """
    leases: list[bytes | int] = []
    for _, lease in asked:
        leases += (b"", 0) if lease is None else (lease.value, milliseconds(lease.seconds))
    arguments = (*(key for key, _ in asked), *leases)
    found: list[bytes | None]
    try:
        found = await client.evalsha(_LOOK_UP_SHA, len(asked), *arguments)
    except NoScriptError:  # a new server, or one that was told to forget its scripts
        found = await client.eval(_LOOK_UP, len(asked), *arguments)
    return found


async def take_away(client: Redis, key: str, lease: Lease) -> None:
    """Deletes the key if this lease is still what lies there.

    Raises:
        RedisError: the server failed, or allows no scripts.
    """
    await client.eval(_TAKE_AWAY, 1, key, lease.value)


def milliseconds(seconds: float) -> int:
    """Returns a time to live as Redis takes it: whole, and at least 1."""
    return max(1, round(seconds * 1000))
