"""Finds the interpreter that has TensorRT; where there is none, says exactly what to do about it.

It need not be the project's own: a plan fits only the TensorRT that built it, so one builds in the
image of the Triton that will serve, or in an environment with that version.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from faults import NotFound, Unavailable

INTERPRETER_VARIABLE = "VITRINE_TENSORRT_PYTHON"
BUILD_PROCESS = Path(__file__).with_name("build_process.py")
PINS = Path(__file__).resolve().parents[2] / "docker" / "versions.env"

_IMPORT_TIMEOUT_S = 120.0
_SHOWN_LINES = 8


def default_interpreter() -> str:
    """Returns the interpreter that builds plans unless another is named."""
    return os.environ.get(INTERPRETER_VARIABLE) or sys.executable


@functools.cache
def require_tensorrt(interpreter: str) -> str:
    """Returns the version of TensorRT in an interpreter, such as ``11.2.1.2``.

    Raises:
        NotFound: there is no such interpreter, or it has no TensorRT 10 or later.
        Unavailable: importing it crashes.
    """
    answer = ask(interpreter, {}, _IMPORT_TIMEOUT_S)
    if not answer["ok"]:
        raise missing_tensorrt(interpreter, answer["errors"][0]["text"])
    return str(answer["tensorrt_version"])


def ask(interpreter: str, job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Runs one job of ``build_process`` and returns its answer, which may be a refusal.

    Raises:
        NotFound: there is no such interpreter.
        Unavailable: the process crashed or took too long.
    """
    try:
        done = subprocess.run(
            [interpreter, str(BUILD_PROCESS)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise NotFound(
            f"this interpreter cannot be run: {error.strerror}",
            field=INTERPRETER_VARIABLE,
            value=interpreter,
            fix="name a Python interpreter that has TensorRT, or unset the variable.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"TensorRT's process was ended after {timeout_s:g} s",
            field="tensorrt",
            value=interpreter,
            fix="give it more time, a lower optimization level, or fewer profiles.",
        ) from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise Unavailable(
            f"TensorRT's process {_ending(done.returncode)} without an answer; its last words:\n"
            + "\n".join(done.stderr.splitlines()[-_SHOWN_LINES:]),
            field="tensorrt",
            value=interpreter,
            fix="run the command again; if it crashes again, build in the image of the serving Triton.",
        ) from error
    return answer


def missing_tensorrt(interpreter: str, reason: str) -> NotFound:
    """Returns the fault that names both ways to get TensorRT: the extra, and the image."""
    pins = image_pins()
    serving = pins.get("TENSORRT_VERSION")
    exact = f' "tensorrt=={serving}"' if serving else ""
    image = pins.get("EXPORT_IMAGE")
    where = f"the image {image} (docker/ has it)" if image else "an image of NVIDIA's that carries TensorRT"
    why = f" The serving Triton has TensorRT {serving}, and a plan fits no other." if serving else ""
    return NotFound(
        f"TensorRT cannot be used here: {reason}",
        field="tensorrt",
        value=interpreter,
        fix=f'pip install "vitrine[tensorrt]"{exact} ({_requirement()}; the wheel fetches its libraries from '
        f"NVIDIA's own package index, which must be within reach); or run the same command in {where}.{why}",
    )


def image_pins(path: Path = PINS) -> dict[str, str]:
    """Returns the pins of the images by name; none where this is not a checkout."""
    if not path.is_file():
        return {}
    lines = [line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line]
    return {name.strip(): value.strip() for name, value in lines if not name.lstrip().startswith("#")}


def _requirement() -> str:
    """Returns what the extra asks for, as pyproject.toml has it."""
    try:
        required = metadata.requires("vitrine") or []
    except metadata.PackageNotFoundError:
        required = []
    return next((line.split(";")[0].strip() for line in required if line.startswith("tensorrt")), "tensorrt")


def _ending(returncode: int) -> str:
    return f"was ended by signal {-returncode}" if returncode < 0 else f"ended with status {returncode}"
