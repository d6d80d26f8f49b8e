"""A TensorRT plan for the clock: built once a graph, then run on memory that stays where it is."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from benchmarks.gpu_check.clock import Call
from benchmarks.gpu_check.contenders import Inputs
from export.profiles import best_profile
from export.tensorrt.builder import BuildSettings, build_plan
from export.tensorrt.machine import require_machine
from export.tensorrt.plans import describe_plan
from export.tensorrt.runtime_engine import TensorRTEngine
from releases.engine_manifest import read_engine_manifest
from releases.export_record import OptimisationProfile
from releases.files import write_atomically
from releases.manifest import TowerName

DEVICE = "cuda"
"""Where torch holds the tensors."""

_COMMAND = "make gpu-check"


class BoundTensorRT(TensorRTEngine):
    """The gate's engine, with a way to run it again and again on the same tensors."""

    fed_from = "device memory"

    def bind(self, inputs: Inputs) -> Call:
        """Returns the call that runs on these inputs; shapes and addresses are set once, here."""
        rows, tokens = inputs[0].shape
        context = self._contexts[best_profile(self._profiles, rows, tokens)]
        held = dict(zip(self.inputs, inputs, strict=True))
        for name, tensor in held.items():
            if not context.set_input_shape(name, tuple(tensor.shape)):
                raise RuntimeError(f"the plan refuses the shape of {name}")
        for name in self.outputs:
            shape = tuple(context.get_tensor_shape(name))
            held[name] = torch.empty(shape, dtype=torch.float32, device=self._device)
        for name, tensor in held.items():
            context.set_tensor_address(name, tensor.data_ptr())

        def call() -> object:
            if not context.execute_async_v3(self._stream()):
                raise RuntimeError("TensorRT could not run the plan; it printed why")
            return held

        return call


def open_engine(path: Path, profile: OptimisationProfile) -> BoundTensorRT:
    """Opens the plan beside a graph, and builds it first where there is none.

    Args:
        path: ``<recipe>-<tower>-<precision>.onnx``.
        profile: shapes to build for.

    Raises:
        faults.VitrineError: see ``build_plan`` and ``TensorRTEngine``.
    """
    plan, described = path.with_suffix(".plan"), path.with_suffix(".plan.json")
    if not described.is_file():
        machine = require_machine()
        settings = BuildSettings(timing_caches=path.parent, compute_capability=machine.compute_capability)
        _, tower, precision = path.stem.split("-")
        result = build_plan(path, plan, (profile,), settings)
        manifest = describe_plan(
            result,
            path,
            (profile,),
            machine,
            model=cast("TowerName", tower),
            precision=precision,
            command=_COMMAND,
        )
        write_atomically(described, manifest.model_dump_json(indent=1).encode())
    return BoundTensorRT(plan, read_engine_manifest(described), DEVICE)
