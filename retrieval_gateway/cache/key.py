"""Cache keys: everything that an answer depends on, encoded so that no two requests can collide by spelling.

Joining fields with a separator is how caches serve one shopper's answer to another: the
query ``a|b`` with no filter meets the query ``a`` with filter ``b``. Here every value carries
its type and its length, so the encoding can be read back in one way only; the key is its hash.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence

import faults

__all__ = ["KeyPart", "cache_key", "encode_parts", "release_prefix", "request_of"]

KeyPart = str | bytes | bool | int | float | None | Sequence["KeyPart"] | Mapping[str, "KeyPart"]

_DIGEST_BYTES = 20
"""160 bits: a collision by chance is out of reach at any number of keys."""


def cache_key(release_id: str, parts: Mapping[str, KeyPart]) -> str:
    """Returns ``vitrine:<release>:<hash>``.

    The release stands in the key in clear, so that an operator can count or delete one
    release's entries. The hash is the request's alone: the same in every release, so that a
    request keeps its name over a switch (``popularity``).

    Args:
        release_id: the release that answers.
        parts: all that the answer depends on, by name; the order of names does not matter.

    Raises:
        faults.InternalError: a value that has no canonical encoding (NaN, or a type of none of the kinds).
    """
    digest = hashlib.blake2b(encode_parts(parts), digest_size=_DIGEST_BYTES)
    return f"{release_prefix(release_id)}{digest.hexdigest()}"


def release_prefix(release_id: str) -> str:
    """Returns what all keys of a release begin with, and no key of another."""
    return f"vitrine:{release_id}:"


def request_of(key: str) -> str:
    """Returns the part of a key that is the same in every release."""
    return key.rpartition(":")[2]


def encode_parts(part: KeyPart) -> bytes:
    """Returns the canonical encoding: a type letter, the length of the content, the content.

    Values of different types differ even where Python calls them equal (1, 1.0 and True).
    """
    match part:
        case None:
            return _tagged(b"n", b"")
        case bool():
            return _tagged(b"t", b"1" if part else b"0")
        case int():
            return _tagged(b"i", str(part).encode())
        case float():
            return _tagged(b"f", _float_bytes(part))
        case str():
            # surrogatepass: a key must be computable for any text, whoever let it in.
            return _tagged(b"s", part.encode("utf-8", "surrogatepass"))
        case bytes():
            return _tagged(b"b", part)
        case Mapping():
            items = sorted((encode_parts(name), encode_parts(value)) for name, value in part.items())
            return _tagged(b"m", b"".join(name + value for name, value in items))
        case Sequence():
            return _tagged(b"l", b"".join(encode_parts(item) for item in part))
    raise faults.InternalError(
        "a cache key cannot be made from this type", field="parts", value=type(part).__name__
    )


def _tagged(tag: bytes, content: bytes) -> bytes:
    return tag + struct.pack(">Q", len(content)) + content


def _float_bytes(number: float) -> bytes:
    if math.isnan(number):
        raise faults.InternalError("NaN equals nothing, so it cannot be part of a key", field="parts")
    return struct.pack(">d", number + 0.0)  # -0.0 and 0.0 are one number
