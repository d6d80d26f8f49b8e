"""Optional numbers of a message: absent, or finite and within their bounds."""

from __future__ import annotations

import math

from google.protobuf.message import Message

from faults import InvalidInput

__all__ = ["within"]


def within(message: Message, name: str, least: float, most: float, field: str) -> float | None:
    """Returns an optional number of a message; None where it is absent.

    Raises:
        InvalidInput: it is not finite, below ``least`` or above ``most``.
    """
    if not message.HasField(name):
        return None
    number = float(getattr(message, name))
    if math.isfinite(number) and least <= number <= most:
        return number
    bounds = f"{least:g} to {most:g}" if math.isfinite(most) else f"at least {least:g}"
    if not math.isfinite(least):
        bounds = "a finite number"
    raise InvalidInput("out of range", field=field, value=number, fix=f"Give {bounds}.")
