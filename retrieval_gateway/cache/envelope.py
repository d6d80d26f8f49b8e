"""The wrapping of a cached value, which shows whether the bytes are ours, whole and meant for this key.

A cache server is shared, restarted, migrated and written to by strangers. Serving what it
returns unchecked means serving torn or foreign bytes as search results. So a value names its
release and key and carries a checksum over everything; what does not fit is a miss. This guards
against accidents, not against an attacker who can write to the cache: give him no access.

    offset 0   4 bytes   magic
           4   1         version
           5   8         hash of the release id
          13  16         hash of the key
          29   8         length of the payload, big-endian
          37  16         blake2b of the 37 bytes before and the payload
          53             payload
"""

from __future__ import annotations

import hashlib
import struct

__all__ = ["open_envelope", "seal_envelope"]

_MAGIC = b"VTRN"
_VERSION = 1
_HEAD = struct.Struct(">4sB8s16sQ")
_CHECKSUM_BYTES = 16
_PAYLOAD_AT = _HEAD.size + _CHECKSUM_BYTES


def seal_envelope(payload: bytes, *, key: str, release_id: str) -> bytes:
    """Wraps a payload for one key of one release."""
    head = _head(len(payload), key, release_id)
    return head + _checksum(head, payload) + payload


def open_envelope(value: bytes, *, key: str, release_id: str) -> bytes | None:
    """Returns the payload, or None if the value is torn, changed, of another version or for another key."""
    payload = value[_PAYLOAD_AT:]
    head = value[: _HEAD.size]
    if len(value) < _PAYLOAD_AT or head != _head(len(payload), key, release_id):
        return None
    if value[_HEAD.size : _PAYLOAD_AT] != _checksum(head, payload):
        return None
    return payload


def _head(length: int, key: str, release_id: str) -> bytes:
    return _HEAD.pack(_MAGIC, _VERSION, _hash(release_id.encode(), 8), _hash(key.encode(), 16), length)


def _checksum(head: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(head, digest_size=_CHECKSUM_BYTES)
    digest.update(payload)
    return digest.digest()


def _hash(content: bytes, size: int) -> bytes:
    return hashlib.blake2b(content, digest_size=size).digest()
