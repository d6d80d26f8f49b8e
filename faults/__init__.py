"""The one error tree of Vitrine.

Every error says what is wrong, which field and value caused it, and what to do
about it. This package imports nothing of ours, so every other package may use it.

    VitrineError
    ├── UserError                the caller can mend it
    │   ├── InvalidInput         a value that no state of the system would accept
    │   ├── Unauthenticated      nobody knows who this caller is
    │   ├── NotPermitted         this caller may not do it
    │   ├── NotFound             a name or id that does not exist here
    │   ├── CatalogueError       a catalogue or click log that cannot be read as it is
    │   ├── Mismatch             parts that must agree do not: both values are named
    │   ├── GateFailed           a measured quality is below its threshold
    │   └── Occupied             a port or a lock that somebody else holds
    ├── OperationalError         the system's surroundings failed; trying later may work
    │   ├── Unavailable          a dependency (Triton, the cache, the store) is down
    │   ├── Overloaded           admission refused the request
    │   ├── DeadlineExceeded     the caller's time was up
    │   └── StorageFailed        disk full, read-only or torn
    └── InternalError            our bug: never the caller's fault

``retrieval_gateway.api.status`` is the only place that maps these to gRPC codes, and
``vitrine.main`` the only one that maps them to exit codes.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CatalogueError",
    "DeadlineExceeded",
    "GateFailed",
    "InternalError",
    "InvalidInput",
    "Mismatch",
    "NotFound",
    "NotPermitted",
    "Occupied",
    "OperationalError",
    "Overloaded",
    "StorageFailed",
    "Unauthenticated",
    "Unavailable",
    "UserError",
    "VitrineError",
]

_SHOWN_VALUE_LENGTH = 120


class VitrineError(Exception):
    """Base of all errors that Vitrine raises on purpose.

    Args:
        problem: one sentence that says what is wrong.
        field: the request field, column, setting or file at fault.
        value: the offending value; shown shortened, never in full.
        fix: what the reader can do about it, as an instruction.
    """

    reason: ClassVar[str] = "INTERNAL"
    """Stable machine-readable name (google.rpc.ErrorInfo.reason)."""

    def __init__(self, problem: str, *, field: str = "", value: object = None, fix: str = "") -> None:
        self.problem = problem
        self.field = field
        self.value = value
        self.fix = fix
        super().__init__(self._render())

    def _render(self) -> str:
        text = f"{self.field}: {self.problem}" if self.field else self.problem
        if self.value is not None:
            text += f" (got {shorten(self.value)})"
        if self.fix:
            text += f" Fix: {self.fix}"
        return text


def shorten(value: object) -> str:
    """Returns ``repr(value)`` cut to a length that fits an error message."""
    shown = repr(value)
    if len(shown) <= _SHOWN_VALUE_LENGTH:
        return shown
    return f"{shown[: _SHOWN_VALUE_LENGTH - 1]}… [{len(shown)} characters]"


class UserError(VitrineError):
    """The caller can mend it; repeating the same call fails the same way."""

    reason = "USER_ERROR"


class InvalidInput(UserError):
    """A value that no state of the system would accept."""

    reason = "INVALID_INPUT"


class Unauthenticated(UserError):
    """No API key, or one that is not known here."""

    reason = "UNAUTHENTICATED"


class NotPermitted(UserError):
    """This caller may not do it."""

    reason = "NOT_PERMITTED"


class NotFound(UserError):
    """A name or id that does not exist here."""

    reason = "NOT_FOUND"


class CatalogueError(UserError):
    """A catalogue or click log that cannot be read as it is."""

    reason = "BAD_CATALOGUE"


class Mismatch(UserError):
    """Parts that must agree do not.

    Args:
        what: the part (``"tokenizer sha256"``).
        expected: the value that the release or contract names.
        found: the value that is there.
        fix: what brings the two together.
    """

    reason = "PARTS_DISAGREE"

    def __init__(self, what: str, *, expected: object, found: object, fix: str) -> None:
        self.expected = expected
        self.found = found
        super().__init__(
            f"parts disagree: expected {shorten(expected)}, found {shorten(found)}.",
            field=what,
            fix=fix,
        )


class GateFailed(UserError):
    """A measured quality is below its threshold; nothing was published."""

    reason = "GATE_FAILED"


class Occupied(UserError):
    """A port or a lock that somebody else holds."""

    reason = "OCCUPIED"


class OperationalError(VitrineError):
    """The surroundings failed; the same call may work later.

    Args:
        retry_after_s: when trying again is sensible, in seconds; 0 where unknown.
    """

    reason = "OPERATIONAL_ERROR"

    def __init__(
        self,
        problem: str,
        *,
        field: str = "",
        value: object = None,
        fix: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(problem, field=field, value=value, fix=fix)


class Unavailable(OperationalError):
    """A dependency (Triton, the cache, the store) does not answer."""

    reason = "UNAVAILABLE"


class Overloaded(OperationalError):
    """Admission refused the request: more work is waiting than the limit allows."""

    reason = "OVERLOADED"


class DeadlineExceeded(OperationalError):
    """The caller's time was up before the answer was ready."""

    reason = "DEADLINE_EXCEEDED"


class StorageFailed(OperationalError):
    """Disk full, read-only or torn; what was there before is untouched."""

    reason = "STORAGE_FAILED"


class InternalError(VitrineError):
    """Our bug. The message is for our log; callers only learn that it happened."""

    reason = "INTERNAL"
