"""Exit 0 if the Triton of this container is live, else 1.

Standard library only: it runs in NVIDIA's image too. Live, not ready: Triton calls a model ready whose
process has died, so no flag of its own says whether a search would work. That is the gateway's health,
which comes from a real inference, and the gateway mends such a model. What is left for the container's
health is whether the server answers at all.
"""

from __future__ import annotations

import sys
from urllib.error import URLError
from urllib.request import urlopen

_TIMEOUT_S = 3.0


def main() -> int:
    """Asks the address that is given as the only argument, by default port 8000 of this container."""
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    try:
        with urlopen(f"{base}/v2/health/live", timeout=_TIMEOUT_S) as answer:
            live = answer.status == 200
    except (URLError, OSError) as error:
        sys.stdout.write(f"{base}: {error}\n")
        return 1
    sys.stdout.write(f"{base}: {'live' if live else 'not live'}\n")
    return 0 if live else 1


if __name__ == "__main__":
    raise SystemExit(main())
