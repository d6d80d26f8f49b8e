"""Callers who show an API key: known, allowed, and within their rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from faults import InvalidInput, NotPermitted, Overloaded, Unauthenticated
from retrieval_gateway.security.access import Caller, Metadata
from retrieval_gateway.security.api_keys import ApiKey, KeyRing
from retrieval_gateway.security.key_file import read_keys
from retrieval_gateway.security.token_bucket import TokenBucket

log = structlog.get_logger(__name__)

METADATA = "authorization"
_SCHEME = "bearer "
_SEND = (
    "Send the metadata 'authorization: Bearer KEY'; `vitrine keys add` on the gateway's machine makes keys."
)
_POLL_S = 1.0


class KeyAccess:
    """Owner of the keys that are valid and of what each has used up of its rate.

    The file is followed: a key that is added or revoked counts within about a second. A file that
    is gone or damaged changes nothing: losing it must neither open the gateway nor close it.

    Args:
        path: the file of keys.
        clock: seconds, monotonic.

    Raises:
        InvalidInput: the file is not good.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self._stamp = self._look()
        self._ring = KeyRing(read_keys(path))

    def admit(self, metadata: Metadata, *, admin: bool) -> Caller:
        """Lets a request in; see ``access.Access``."""
        presented = _presented(metadata)
        if not presented:
            raise Unauthenticated("no API key", field=METADATA, fix=_SEND)
        key = self._ring.find(presented)
        if key is None:
            raise Unauthenticated("this API key is not valid here", field=METADATA, fix=_SEND)
        if admin and not key.admin:
            fix = "Use a key that was made with --admin."
            raise NotPermitted("this key may not switch releases", field=METADATA, value=key.name, fix=fix)
        self._spend(key)
        return Caller(key.name, key.admin)

    async def run(self) -> None:
        """Follows the file until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            await asyncio.to_thread(self.follow)

    def follow(self) -> None:
        """Reads the file again if it changed."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            ring = KeyRing(read_keys(self._path))
        except InvalidInput as error:
            log.error("the keys stay as they were", error=str(error))
            return
        self._ring = ring
        log.info("keys were read", path=str(self._path))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ctime_ns, found.st_size, found.st_ino  # ctime: another owner or mode counts too

    def _spend(self, key: ApiKey) -> None:
        if key.rate is None:
            return
        bucket = self._buckets.get(key.key_id)
        if bucket is None or bucket.rate != key.rate:
            # A second's worth at once, since requests do not come evenly.
            bucket = self._buckets[key.key_id] = TokenBucket(key.rate, max(1.0, key.rate), self._clock)
        wait_s = bucket.take()
        if wait_s:
            raise Overloaded(
                f"the key {key.name} may ask {key.rate:g} times a second",
                field="rate",
                fix="Ask less often, or have a key made with a higher --rate.",
                retry_after_s=wait_s,
            )


def _presented(metadata: Metadata) -> str:
    for name, value in metadata:
        if name == METADATA and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
            return value[len(_SCHEME) :].strip()
    return ""
