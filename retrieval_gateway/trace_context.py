"""The trace that a request belongs to: W3C Trace Context, read from gRPC metadata.

https://www.w3.org/TR/trace-context/: ``traceparent`` is ``version-trace_id-parent_id-flags`` in
lowercase hex. One that does not follow the rules is as good as none, and a new trace begins.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

TRACEPARENT = "traceparent"

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_VERSION = "ff"
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a request stands in a trace.

    Args:
        trace_id: 32 hex digits.
        parent_id: the caller's span, 16 hex digits; empty where the trace begins here.
        sampled: whether the caller records this trace.
    """

    trace_id: str
    parent_id: str = ""
    sampled: bool = False


current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
"""The trace of the request in work."""


def trace_of(metadata: Iterable[tuple[str, str | bytes]]) -> TraceContext:
    """Returns the caller's trace, or a new one."""
    for name, value in metadata:
        if name == TRACEPARENT and isinstance(value, str):
            return parse_traceparent(value) or new_trace()
    return new_trace()


def parse_traceparent(header: str) -> TraceContext | None:
    """Reads a ``traceparent``; None if it is not one.

    Later versions may append fields after another dash, version 00 may not.
    """
    match = _FORM.fullmatch(header)
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if version == _NO_VERSION or (version == "00" and more):
        return None
    if not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED))


def new_trace() -> TraceContext:
    """Returns a trace that begins here. Its id tells requests apart and keeps no secret."""
    return TraceContext(f"{random.getrandbits(128) or 1:032x}")
