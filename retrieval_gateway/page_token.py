"""Page tokens: where the next page begins, in which release's ranking, for which request.

A ranking belongs to a release: after a switch the products behind an offset are others, and a page cut from
them would repeat some and skip some. So a token names its release and is refused by every other. It also
carries a hash of the request that it was made for, since an offset into another ranking means nothing.

Whoever reads a token learns nothing that its owner does not know: it holds no secret and grants nothing.
The checksum is against accidents (a token cut by a log or a form), not against forgery.

    offset 0   1 byte    version
           1   4         hits before the page, big-endian
           5  16         hash of the request without its page
          21   8         blake2b of the other bytes
          29             release id
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass, replace

from faults import InvalidInput
from retrieval_gateway.cache.key import encode_parts
from retrieval_gateway.query import SearchQuery, key_parts
from retrieval_gateway.ranking.ladder import DEEPEST

__all__ = ["PageToken", "next_page", "on_page", "read_token"]

_VERSION = 1
_HEAD = struct.Struct(">BI16s")
_CHECKSUM_BYTES = 8
_RELEASE_AT = _HEAD.size + _CHECKSUM_BYTES
_LONGEST = 512
_FIX = "Send next_page_token of the page before, unchanged, or none for the first page."


@dataclass(frozen=True, slots=True)
class PageToken:
    """What a token says."""

    start: int
    request_hash: bytes
    release_id: str


def next_page(query: SearchQuery, start: int, release_id: str) -> str:
    """Returns the token of the page of ``query`` that begins after ``start`` hits."""
    head = _HEAD.pack(_VERSION, start, _request_hash(query))
    release = release_id.encode()
    return _letters(head + _checksum(head, release) + release)


def on_page(query: SearchQuery, token: str) -> SearchQuery:
    """Returns the query of a first page, moved to the page that a token names; "" is the first page.

    Raises:
        InvalidInput: no token of ours, or one that was made for another request.
    """
    if not token:
        return query
    page = read_token(token)
    if page.request_hash != _request_hash(query):
        raise InvalidInput(
            "the token was made for another request",
            field="page_token",
            value=token,
            fix="Change nothing of a request but its page_token, or begin at the first page.",
        )
    return replace(query, start=page.start, page_of=page.release_id)


def read_token(token: str) -> PageToken:
    """Reads what ``next_page`` wrote.

    Raises:
        InvalidInput: it is torn, changed, or of another version.
    """
    try:
        raw = base64.urlsafe_b64decode(token[:_LONGEST].encode() + b"=" * (-len(token) % 4))
        version, start, request_hash = _HEAD.unpack(raw[: _HEAD.size])
        release_id = raw[_RELEASE_AT:].decode()
    except (binascii.Error, struct.error, ValueError) as error:
        raise _bad(token) from error
    checksum = raw[_HEAD.size : _RELEASE_AT]
    whole = _letters(raw) == token and checksum == _checksum(raw[: _HEAD.size], raw[_RELEASE_AT:])
    if not whole or version != _VERSION or not 1 <= start <= DEEPEST:
        raise _bad(token)
    return PageToken(start, request_hash, release_id)


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _request_hash(query: SearchQuery) -> bytes:
    first = replace(query, start=0, page_of=None)
    return hashlib.blake2b(encode_parts(key_parts(first)), digest_size=16).digest()


def _checksum(head: bytes, release: bytes) -> bytes:
    digest = hashlib.blake2b(head, digest_size=_CHECKSUM_BYTES)
    digest.update(release)
    return digest.digest()


def _bad(token: str) -> InvalidInput:
    return InvalidInput("not a page token of this API", field="page_token", value=token, fix=_FIX)
