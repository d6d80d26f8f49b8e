"""Command line: runs one measurement and prints its table, then one line of JSON.

python -m benchmarks.cache gathering     client CPU of a GET, one by one and gathered (starts a Valkey)
python -m benchmarks.cache memory-hit    CPU of a hit in memory, by what the cache keeps count of
python -m benchmarks.cache admission     hit rates with and without admission, while a robot walks by
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable

from benchmarks.cache import admission, gathering, memory_hit

_WHAT: dict[str, Callable[[], list[dict[str, object]]]] = {
    "gathering": lambda: asyncio.run(gathering.measure()),
    "memory-hit": lambda: asyncio.run(memory_hit.measure()),
    "admission": admission.measure,
}


def main() -> None:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument("what", choices=_WHAT)
    rows = _WHAT[parser.parse_args().what]()
    for row in rows:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    sys.stdout.write(json.dumps(rows) + "\n")


main()
