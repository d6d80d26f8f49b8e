"""Who takes part in a training: one process, or those that torchrun started.

``torchrun`` says by environment variables who is who; without them there is a world of one. What the
processes do together is ``towers.training.distributed``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist

from faults import InvalidInput, Unavailable

Device = Literal["auto", "cpu", "cuda"]

_LONGEST_WAIT = timedelta(minutes=15)
_START = "Start with `torchrun --nproc-per-node N --no-python vitrine train ...`, which sets it."


@dataclass(frozen=True)
class World:
    """Who takes part in a training."""

    rank: int = 0
    """This process's number, from 0."""
    size: int = 1
    """Number of processes."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where this process computes."""

    @property
    def first(self) -> bool:
        """This process writes files and speaks to people; the others only compute."""
        return self.rank == 0


ALONE = World()
"""One process, on the CPU."""


@contextlib.contextmanager
def open_world(device: Device = "auto", environment: Mapping[str, str] | None = None) -> Iterator[World]:
    """Joins the processes that torchrun started, by gloo on CPUs and nccl on GPUs; leaves them at the end.

    Args:
        device: auto takes a GPU where there is one.
        environment: the process's own if none is given.

    Raises:
        InvalidInput: a variable is no such number, or there are fewer GPUs than processes here.
        Unavailable: the others cannot be reached.
    """
    world, local = _who(os.environ if environment is None else environment)
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        world = replace(world, device=_gpu(local))
    if world.size == 1:
        yield world
        return
    try:
        dist.init_process_group(
            "nccl" if world.device.type == "cuda" else "gloo",
            rank=world.rank,
            world_size=world.size,
            timeout=_LONGEST_WAIT,
        )
    except (ValueError, RuntimeError) as error:
        raise Unavailable(
            f"the training's processes cannot find each other: {error}",
            field="MASTER_ADDR and MASTER_PORT",
            value=f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}",
            fix=_START,
        ) from error
    try:
        yield world
    finally:
        dist.destroy_process_group()


def _who(environment: Mapping[str, str]) -> tuple[World, int]:
    """The world without a device yet, and the process's number on this machine."""
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return World(), 0
    size = _number(environment, "WORLD_SIZE", least=1)
    rank = _number(environment, "RANK", least=0, below=size)
    local = _number(environment, "LOCAL_RANK", least=0, default=rank)
    return World(rank, size), local


def _number(
    environment: Mapping[str, str],
    name: str,
    least: int,
    below: int | None = None,
    default: int | None = None,
) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if (
        not text.isascii()
        or not text.isdigit()
        or int(text) < least
        or (below is not None and int(text) >= below)
    ):
        most = "" if below is None else f" and below WORLD_SIZE ({below})"
        raise InvalidInput(f"must be a number from {least}{most}", field=name, value=text, fix=_START)
    return int(text)


def _gpu(local: int) -> torch.device:
    there = torch.cuda.device_count()
    if local >= there:
        raise InvalidInput(
            f"a process needs a GPU of its own, and {there} are here",
            field="LOCAL_RANK",
            value=local,
            fix=f"Start at most {there} processes on this machine, or take the CPU (--device cpu).",
        )
    # cuBLAS sums in a fixed order only with a workspace of fixed size, named before its first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
