"""Prints what ``runtime.triton_home`` must know about a Python environment, as one JSON object.

Run *by* that environment's interpreter (``python -I environment_facts.py``), so it imports the
standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

_PACKAGES = ("nvidia-pytriton", "numpy", "onnxruntime")


def main() -> None:
    """Writes the facts to standard output."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    library = f"libpython{version}.so.1.0"
    folder = _library_folder(library)
    facts = {
        "version": version,
        "base": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
        "site": sysconfig.get_path("purelib"),
        "library": library,
        "library_folder": folder,
        "library_found": bool(folder) or _loadable(library),
        "packages": {name: _installed(name) for name in _PACKAGES},
    }
    sys.stdout.write(json.dumps(facts))


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _library_folder(library: str) -> str:
    """Returns the folder of the interpreter's own libpython; empty if it has none there."""
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/nowhere")
    for candidate in (folder, folder / str(sysconfig.get_config_var("MULTIARCH") or "")):
        if (candidate / library).exists():
            return str(candidate)
    return ""


def _loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
