"""This machine's GPU, as far as a plan cares."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import torch

from faults import NotFound

_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Machine:
    """A CUDA device.

    Args:
        compute_capability: major and minor, such as ``9.0``.
        gpu: the device's name.
    """

    compute_capability: str
    gpu: str


def this_machine() -> Machine | None:
    """Returns the first CUDA device, or nothing where there is none.

    torch is asked first, since it heeds CUDA_VISIBLE_DEVICES; a CPU build of it sees no GPU, so then
    ``nvidia-smi``.
    """
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability(0)
        return Machine(f"{major}.{minor}", torch.cuda.get_device_name(0))
    query = ["nvidia-smi", "--query-gpu=compute_cap,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_query(done.stdout)


def parse_query(answer: str) -> Machine | None:
    """Reads the first line of ``nvidia-smi``'s answer: ``9.0, NVIDIA H200``."""
    capability, _, name = answer.partition("\n")[0].partition(",")
    return Machine(capability.strip(), name.strip()) if name.strip() else None


def require_machine() -> Machine:
    """Returns the first CUDA device.

    Raises:
        NotFound: there is none, and TensorRT builds a plan only on the GPU that it is for.
    """
    machine = this_machine()
    if machine is None:
        raise NotFound(
            "no CUDA GPU on this machine",
            field="gpu",
            fix="run the command on a machine with the kind of GPU that will serve: "
            "TensorRT tries its kernels on the GPU that a plan is for.",
        )
    return machine
