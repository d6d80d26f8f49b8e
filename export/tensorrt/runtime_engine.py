"""Runs a plan, so that the gate compares what will serve and not what it was made from.

TensorRT reads and writes CUDA memory that torch holds. One execution context a profile: changing the
profile of a context waits for the GPU and forgets its shapes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.gate.engine import Array, Feed
from export.profiles import best_profile
from export.tensorrt.installation import missing_tensorrt
from export.tensorrt.machine import this_machine
from export.tensorrt.plans import check_files, check_machine
from faults import GateFailed, InvalidInput, NotFound, Unavailable
from releases.engine_manifest import EngineManifest

_SHAPED_BY = "input_ids"
"""The input whose shape is rows and tokens."""


class TensorRTEngine:
    """A plan on this machine's GPU; the gate's ``Engine``.

    Args:
        plan: the plan file.
        manifest: the manifest beside it.
        device: where torch holds the tensors.

    Raises:
        NotFound: TensorRT or torch's CUDA build is not installed here, or the plan is missing.
        Mismatch: the plan is not the manifest's, or does not fit this machine.
        Unavailable: TensorRT cannot read the plan; its words are in the message.
    """

    def __init__(self, plan: Path, manifest: EngineManifest, device: str = "cuda") -> None:
        trt = _tensorrt()
        machine = this_machine()
        check_machine(manifest, machine.compute_capability if machine else None, trt.__version__)
        check_files(manifest, plan)
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise NotFound(
                "this torch sees no GPU, and TensorRT's inputs and outputs are torch's",
                field="torch",
                value=torch.__version__,
                fix="install torch's CUDA build, or heed CUDA_VISIBLE_DEVICES.",
            )
        # The logger and the runtime must outlive the engine.
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise Unavailable(
                "TensorRT cannot read the plan; it printed why",
                field="plan",
                value=str(plan),
                fix=f"build it again: {manifest.command}",
            )
        self._profiles = manifest.profiles
        self._contexts = [self._context(place) for place in range(len(self._profiles))]
        self.inputs, self.outputs = tensor_names(self._engine, trt.TensorIOMode.INPUT)
        self.name = f"tensorrt {trt.__version__} on {manifest.gpu}"

    def run(self, feed: Feed) -> list[Array]:
        """Returns the outputs in the graph's order, each float32 [B, ...].

        Raises:
            GateFailed: no profile covers the shape, or TensorRT refuses to run.
        """
        rows, tokens = feed[_SHAPED_BY].shape
        try:
            context = self._contexts[best_profile(self._profiles, rows, tokens)]
        except InvalidInput as error:
            raise self._failure(str(error), feed) from error
        held = {
            name: torch.from_numpy(np.ascontiguousarray(feed[name])).to(self._device) for name in self.inputs
        }
        for name, tensor in held.items():
            if not context.set_input_shape(name, tuple(tensor.shape)):
                raise self._failure(f"the plan refuses the shape of {name}", feed)
        for name in self.outputs:
            shape = tuple(context.get_tensor_shape(name))
            held[name] = torch.empty(shape, dtype=torch.float32, device=self._device)
        for name, tensor in held.items():
            context.set_tensor_address(name, tensor.data_ptr())
        if not context.execute_async_v3(self._stream()):
            raise self._failure("TensorRT could not run the plan; it printed why", feed)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return [held[name].cpu().numpy() for name in self.outputs]

    def _context(self, profile: int) -> Any:
        context = self._engine.create_execution_context()
        if context is None or not context.set_optimization_profile_async(profile, self._stream()):
            raise Unavailable(
                f"no execution context for profile {profile}",
                field="gpu memory",
                fix="free memory on the GPU, or export with fewer rows a batch.",
            )
        return context

    def _stream(self) -> int:
        """The CUDA stream on which torch copies, so that copies and the plan run in order."""
        return torch.cuda.current_stream(self._device).cuda_stream if self._device.type == "cuda" else 0

    def _failure(self, problem: str, feed: Feed) -> GateFailed:
        return GateFailed(
            problem,
            field=self.name,
            value={name: tensor.shape for name, tensor in feed.items()},
            fix="Nothing was published. Pad to a profile's lengths, or export with profiles for this.",
        )


def tensor_names(engine: Any, input_mode: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of an engine's inputs and of its outputs, each in the graph's order."""
    names: Sequence[str] = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    inputs = tuple(name for name in names if engine.get_tensor_mode(name) == input_mode)
    return inputs, tuple(name for name in names if name not in inputs)


def _tensorrt() -> Any:
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        raise missing_tensorrt(sys.executable, f"{type(error).__name__}: {error}") from error
