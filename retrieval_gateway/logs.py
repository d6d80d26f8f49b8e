"""Structured logs: one JSON object a line on standard error, with UTC time and level.

No query text is ever logged: what shoppers type is theirs.
"""

from __future__ import annotations

import sys

import structlog


def configure_logs() -> None:
    """Sets structlog up for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
