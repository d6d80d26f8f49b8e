"""A lease: what a gateway leaves in the place of an answer while it computes it.

It lies under the answer's own key. So taking it costs no round trip beyond the look-up that missed,
storing the answer ends it, and whoever finds it knows that somebody is at work. A lease is only a
hint that saves work: it expires, it may be lost, and nobody waits for it longer than it was given.
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Lease", "is_lease", "new_lease"]

_MAGIC = b"VTRL"
_TOKEN_BYTES = 16


class Lease(NamedTuple):
    """What is written (it differs from every other lease), and for how many seconds."""

    value: bytes
    seconds: float


def new_lease(seconds: float) -> Lease:
    """Returns a lease that nobody else has."""
    return Lease(_MAGIC + os.urandom(_TOKEN_BYTES), seconds)


def is_lease(value: bytes) -> bool:
    """Whether a value is a lease. An answer never is one: its envelope is longer and begins otherwise."""
    return len(value) == len(_MAGIC) + _TOKEN_BYTES and value.startswith(_MAGIC)
