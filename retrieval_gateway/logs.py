"""Structured logs: one JSON object a line on standard error, with UTC time, level and trace id.

What shoppers type is theirs: unless ``VITRINE_LOG_QUERIES`` asks for it, nothing that may hold it is
logged. So tracebacks come without local variables, and within a request without the
exceptions' texts: type, files and lines are enough to find a bug.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from retrieval_gateway import trace_context

_SAFE = ("exc_type", "is_cause", "frames", "is_group")


def configure_logs(*, queries: bool) -> None:
    """Sets structlog up for this process.

    Args:
        queries: let texts of exceptions be logged, although they may quote a query.
    """
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(Tracebacks(queries=queries)),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(processors=processors, logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Names the trace of the request in work, as OpenTelemetry's log fields are called."""
    trace = trace_context.current.get()
    if trace is not None:
        event["trace_id"] = trace.trace_id
    return event


class Tracebacks:
    """Turns an exception into what a log line may hold of it.

    Args:
        queries: texts of exceptions may be logged within a request.
    """

    def __init__(self, *, queries: bool) -> None:
        self._queries = queries
        self._extract = ExceptionDictTransformer(show_locals=False)

    def __call__(self, exc_info: ExcInfo) -> list[dict[str, Any]]:
        """Returns the exception and its causes, innermost last."""
        stacks = self._extract(exc_info)
        if self._queries or trace_context.current.get() is None:
            return stacks
        return _without_texts(stacks)


def _without_texts(stacks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **{name: stack[name] for name in _SAFE},
            "exceptions": [_without_texts(group) for group in stack["exceptions"]],
        }
        for stack in stacks
    ]
