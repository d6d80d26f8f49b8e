"""Exit 0 if this environment's TensorRT is the one given, else 1 and both versions.

    python docker/check_tensorrt.py 11.2.1.2

Run while the export image is built: an engine fits only the TensorRT that made it, and a base image of
another release should be noticed there and not by Triton.
"""

from __future__ import annotations

import importlib
import sys


def main() -> int:
    """Compares and returns the exit code."""
    wanted = sys.argv[1]
    try:
        found = str(importlib.import_module("tensorrt").__version__)
    except ImportError as error:
        sys.stderr.write(f"TensorRT: {wanted} is wanted, but it cannot be imported here: {error}\n")
        return 1
    if found != wanted:
        sys.stderr.write(
            f"TensorRT: {wanted} is wanted, {found} is here. "
            "Correct docker/versions.env, all of it: Triton and export images are of one release.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
