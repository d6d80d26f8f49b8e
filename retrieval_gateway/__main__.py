"""``python -m retrieval_gateway``: one gateway process, set by ``VITRINE_*`` variables."""

from __future__ import annotations

import asyncio
import sys

from faults import VitrineError
from retrieval_gateway.logs import configure_logs
from retrieval_gateway.server import serve
from retrieval_gateway.settings import load_settings


def main() -> int:
    """Serves until told to stop; returns the exit code."""
    try:
        settings = load_settings()
        configure_logs(queries=settings.log_queries)
        asyncio.run(serve(settings))
    except VitrineError as error:
        sys.stderr.write(f"vitrine gateway: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
