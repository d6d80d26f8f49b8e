"""Lays out, as symbolic links, what the tritonserver from the pip wheel needs in order to start.

The wheel's binary runs in place, but its backend directory lacks the stub of our Python, and the
stub finds its packages through the first ``python3`` on PATH alone (its interpreter is isolated:
PYTHONPATH and PYTHONHOME are ignored). So a *home* is made, nothing of the wheel is copied:

    backends/python/   libtriton_python.so, its utils, and the stub of this Python version
    env/               a virtual environment of three links, first on PATH

``env`` borrows the site-packages of Triton's environment through a ``.pth`` file whose first line
turns off bytecode. That line matters: a ``__pycache__`` written into a version folder counts as a
change of the version, and Triton would reload it at the next load call (seen; with the line, not).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import Mismatch, NotFound, StorageFailed
from runtime import environment_facts

SETTING = "VITRINE_TRITON_PYTHON"
_SETUP = "run `make setup`, which builds Triton's environment."
_BYTECODE_OFF = "import sys; sys.dont_write_bytecode = True\n"


@dataclass(frozen=True, slots=True)
class TritonHome:
    """What :class:`runtime.triton.TritonServer` starts from.

    Args:
        binary: tritonserver, inside the wheel.
        backend_directory: for ``--backend-directory``.
        environment: the complete environment for the server and, inherited, its stubs.
        python_version: of the stubs, such as ``3.11``.
    """

    binary: Path
    backend_directory: Path
    environment: Mapping[str, str]
    python_version: str


def lay_out_triton_home(python: Path, home: Path) -> TritonHome:
    """Checks Triton's environment and makes the folder of links.

    Args:
        python: the interpreter of the environment that holds nvidia-pytriton, numpy < 2 and
            onnxruntime.
        home: folder to make or bring up to date; may be deleted when no server runs.

    Raises:
        NotFound: the interpreter, a package, libpython or the stub is absent.
        Mismatch: numpy is 2 or newer, with which every output would have 0 bytes.
        StorageFailed: the folder cannot be written.
    """
    facts = _inspect(python)
    server = _checked(facts, python)
    backend = home / "backends" / "python"
    stub = server / "python_backend_stubs" / facts["version"] / "triton_python_backend_stub"
    links = {
        backend / name: server / "backends" / "python" / name
        for name in ("libtriton_python.so", "triton_python_backend_utils.py")
    }
    links[backend / stub.name] = stub
    links[home / "env" / "bin" / "python3"] = Path(facts["base"])
    site = home / "env" / "lib" / f"python{facts['version']}" / "site-packages"
    base_folder = Path(facts["base"]).parent
    files = {
        home / "env" / "pyvenv.cfg": f"home = {base_folder}\ninclude-system-site-packages = false\n",
        site / "vitrine.pth": f"{_BYTECODE_OFF}{facts['site']}\n",
    }
    try:
        for link, target in links.items():
            _replace(link, target=target)
        for file, text in files.items():
            _replace(file, text=text)
    except OSError as error:
        raise StorageFailed(
            f"Triton's home cannot be written: {error.strerror}.",
            field=str(home),
            fix="free space there, or choose another folder.",
        ) from error
    environment = _environment(home, Path(facts["site"]), facts["library_folder"])
    return TritonHome(server / "bin" / "tritonserver", home / "backends", environment, facts["version"])


def _inspect(python: Path) -> dict[str, Any]:
    if not python.is_file():
        raise NotFound("no Python is there.", field=SETTING, value=str(python), fix=_SETUP)
    try:
        script = [str(python), "-I", environment_facts.__file__]
        done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFound(f"cannot be run: {error}.", field=SETTING, value=str(python), fix=_SETUP) from error
    if done.returncode != 0:
        why = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise NotFound(f"is not a working Python: {why[0]}.", field=SETTING, value=str(python), fix=_SETUP)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def _checked(facts: dict[str, Any], python: Path) -> Path:
    """Returns the wheel's server folder if all that it needs is there."""
    for package, version in facts["packages"].items():
        if not version:
            raise NotFound(f"{package} is not installed there.", field=SETTING, value=str(python), fix=_SETUP)
    numpy = facts["packages"]["numpy"]
    if int(numpy.partition(".")[0]) >= 2:
        raise Mismatch("numpy in Triton's environment", expected="below 2", found=numpy, fix=_SETUP)
    if not facts["library_found"]:
        package = "libpython" + facts["version"]
        fix = f"install it (on Debian and Ubuntu: apt-get install {package}), or use a Python built shared."
        raise NotFound(f"{facts['library']} is missing; Triton's stub links it.", field=SETTING, fix=fix)
    server = Path(facts["site"]) / "pytriton" / "tritonserver"
    needed = (
        server / "bin" / "tritonserver",
        server / "backends" / "python" / "libtriton_python.so",
        server / "python_backend_stubs" / facts["version"] / "triton_python_backend_stub",
    )
    for file in needed:
        if not file.exists():
            raise NotFound(
                f"the nvidia-pytriton wheel has no {file.relative_to(server)} (Python {facts['version']}).",
                field=SETTING,
                value=str(python),
                fix="use Python 3.11 or 3.12 and " + _SETUP,
            )
    return server


def _environment(home: Path, site: Path, library_folder: str) -> dict[str, str]:
    # Python's own variables would steer the stubs' children, and a preload belongs to somebody else.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "LD_PRELOAD"}
    libraries = [str(site / "nvidia_pytriton.libs"), library_folder]
    return {
        **kept,
        "PATH": f"{home / 'env' / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": os.pathsep.join(folder for folder in libraries if folder),
    }


def _replace(path: Path, *, target: Path | None = None, text: str = "") -> None:
    """Makes a link to ``target``, or a file of ``text``, in one step: a server may be starting from it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    if target is not None:
        fresh.symlink_to(target)
    else:
        fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
