"""API keys: made once, kept as a hash, recognised in constant time.

A key is ``vtr_<id>_<secret>``. The id is no secret: it finds the record, so that only one comparison is
needed, and that one takes the same time wherever it fails (``hmac.compare_digest``; an unknown
id is compared as well). The secret has 256 random bits, so one round of SHA-256 keeps it: slow hashes
(bcrypt, Argon2) are there to make guessing a person's password dear, and 2^256 cannot be guessed. A slow
one would only give strangers a way to burn our processor.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from faults import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FORM = re.compile(r"vtr_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_ID_BYTES, _SECRET_BYTES = 8, 32


class ApiKey(BaseModel):
    """What is kept of a key.

    Attributes:
        key_id: public part of the key, 16 hex digits.
        name: who uses it, for logs and for `vitrine keys`.
        sha256: of the whole key, in hex.
        admin: may switch releases.
        rate: requests a second, on average, to one gateway process; None: unbounded.
        created_at: UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    name: Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    admin: bool
    rate: Annotated[float, Field(gt=0)] | None
    created_at: datetime


_NOBODY = ApiKey(
    key_id="0" * 16, name="nobody", sha256="0" * 64, admin=False, rate=None, created_at=datetime.min
)
"""Compared with where an id is unknown; no input is known whose SHA-256 is zero."""


def make_key(name: str, *, admin: bool, rate: float | None) -> tuple[ApiKey, str]:
    """Returns a new key's record, and the key itself, which is kept nowhere.

    Args:
        name: letters, digits, dots, dashes and underscores, at most 64.
        admin: may switch releases.
        rate: requests a second; None: unbounded.

    Raises:
        InvalidInput: the name or the rate is none.
    """
    if not _NAME.fullmatch(name):
        fix = "Use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first."
        raise InvalidInput("is no name for a key", field="name", value=name, fix=fix)
    if rate is not None and not 0 < rate < float("inf"):
        raise InvalidInput("is no rate", field="rate", value=rate, fix="Give requests a second, above 0.")
    key_id = secrets.token_hex(_ID_BYTES)
    key = f"vtr_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    record = ApiKey(
        key_id=key_id,
        name=name,
        sha256=_hash(key),
        admin=admin,
        rate=rate,
        created_at=datetime.now(UTC).replace(microsecond=0),
    )
    return record, key


class KeyRing:
    """The keys that are valid."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.key_id: key for key in keys}

    def find(self, presented: str) -> ApiKey | None:
        """Returns the record of a presented key, or None."""
        match = _FORM.fullmatch(presented)
        record = self._keys.get(match[1], _NOBODY) if match else _NOBODY
        return record if hmac.compare_digest(_hash(presented), record.sha256) else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
