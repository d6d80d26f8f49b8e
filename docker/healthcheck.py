"""Asks the gateway of this container how it is: grpc.health.v1, by the settings that the gateway reads.

    python docker/healthcheck.py               exit 0 if it says SERVING: a search would be answered now
    python docker/healthcheck.py --listening   exit 0 if it answers at all, with or without a release

The first is readiness and the image's HEALTHCHECK: route by it. The second is liveness: restart by it and
by nothing stricter, since a gateway without a release, or whose Triton is away, gets no better by being
restarted.
"""

from __future__ import annotations

import argparse
import sys

from retrieval_gateway.client import RetrievalClient
from retrieval_gateway.settings import GatewaySettings, load_settings

_TIMEOUT_S = 3.0
"""Below the HEALTHCHECK's own timeout, so that the reason is printed before the check is killed."""
_NOT_SERVING = "NOT_SERVING (no release is active, or Triton does not answer; the gateway's log says)"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def address(settings: GatewaySettings) -> str:
    """Returns ``host:port`` at which this container's gateway is reached from inside it."""
    return f"{_EVERYWHERE.get(settings.host, settings.host)}:{settings.port}"


def main() -> int:
    """Returns the exit code, 0 or 1; says on standard output why (``docker inspect`` shows it)."""
    parser = argparse.ArgumentParser(description="Asks the gateway of this container how it is.")
    parser.add_argument("--listening", action="store_true", help="be content with any answer")
    arguments = parser.parse_args()
    where = address(load_settings())
    with RetrievalClient(where, timeout_s=_TIMEOUT_S) as client:
        if client.ready():
            sys.stdout.write(f"{where}: SERVING\n")
            return 0
        listening = client.listening()
    if not listening:
        sys.stdout.write(f"{where}: no answer\n")
        return 1
    sys.stdout.write(f"{where}: {_NOT_SERVING}\n")
    return 0 if arguments.listening else 1


if __name__ == "__main__":
    raise SystemExit(main())
