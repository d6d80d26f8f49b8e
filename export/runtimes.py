"""How each target makes an engine from an ONNX file, and what it can do on this machine.

A runtime is opened before anything expensive happens, so that a machine which lacks
something says so at once.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import onnxruntime as ort
import torch

from export.gate.engine import Engine, OnnxEngine
from export.onnx_export import TowerGraph
from export.repository_plans import BuiltPlan
from export.targets import Target
from export.tensorrt.builder import BuildSettings, build_plan
from export.tensorrt.installation import INTERPRETER_VARIABLE, require_tensorrt
from export.tensorrt.machine import require_machine
from export.tensorrt.plans import describe_plan
from export.tensorrt.runtime_engine import TensorRTEngine
from faults import NotFound
from releases.export_record import OptimisationProfile
from releases.manifest import require_equal


@dataclass(frozen=True)
class MadeEngine:
    """An engine that runs here, and what of it must be published beside the ONNX file."""

    engine: Engine
    built: BuiltPlan | None = None


class Runtime(Protocol):
    """One target on this machine."""

    def make(
        self, graph: TowerGraph, onnx_file: Path, precision: str, profiles: tuple[OptimisationProfile, ...]
    ) -> MadeEngine:
        """Makes an engine that runs here."""


class OnnxRuntime:
    """ONNX Runtime; the file is the engine."""

    def __init__(self, target: Target) -> None:
        # The Python backend of `cpu` runs on the CPU wherever it is; the native backend where the GPU is.
        offered = ort.get_available_providers() if target == "onnxruntime" else []
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        self._providers = [name for name in wanted if name in offered] or ["CPUExecutionProvider"]

    def make(
        self, graph: TowerGraph, onnx_file: Path, precision: str, profiles: tuple[OptimisationProfile, ...]
    ) -> MadeEngine:
        """Opens the file."""
        del precision, profiles
        return MadeEngine(OnnxEngine(onnx_file, graph.outputs, self._providers))


class TensorRTRuntime:
    """TensorRT on this machine's GPU: builds a plan and runs it.

    Args:
        command: kept in the plan's manifest.
        timing_caches: folder of the timing caches.
    """

    def __init__(self, command: str, timing_caches: Path) -> None:
        self._command = command
        self._settings = BuildSettings(timing_caches=timing_caches)
        # Another interpreter may build, but the gate runs the plan in this one, beside torch.
        builder, own = (require_tensorrt(python) for python in (self._settings.interpreter, sys.executable))
        require_equal(
            "TensorRT of the gate (this interpreter)",
            expected=builder,
            found=own,
            fix=f"install that version here, or unset {INTERPRETER_VARIABLE}.",
        )
        self._machine = require_machine()
        if not torch.cuda.is_available():
            raise NotFound(
                f"torch {torch.__version__} sees no GPU, and the gate runs the plan beside it",
                field="torch",
                value=self._machine.gpu,
                fix="install torch's CUDA build in this environment, or run in the export image (docker/).",
            )
        self._settings = replace(self._settings, compute_capability=self._machine.compute_capability)

    def make(
        self, graph: TowerGraph, onnx_file: Path, precision: str, profiles: tuple[OptimisationProfile, ...]
    ) -> MadeEngine:
        """Builds a plan beside the ONNX file and opens it."""
        result = build_plan(onnx_file, onnx_file.with_suffix(".plan"), profiles, self._settings)
        manifest = describe_plan(
            result,
            onnx_file,
            profiles,
            self._machine,
            model=graph.name,
            precision=precision,
            command=self._command,
        )
        return MadeEngine(TensorRTEngine(result.plan, manifest), BuiltPlan(result.plan, manifest))


def open_runtime(target: Target, command: str, timing_caches: Path) -> Runtime:
    """Returns the target's runtime.

    Args:
        target: what will serve.
        command: kept in a plan's manifest.
        timing_caches: folder in which TensorRT's timing caches are kept from build to build.

    Raises:
        NotFound: the target's software, or the GPU that it needs, is not on this machine.
    """
    if target == "tensorrt":
        return TensorRTRuntime(command, timing_caches)
    return OnnxRuntime(target)
