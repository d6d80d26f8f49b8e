"""Which engine this machine allows: TensorRT, else TensorRT-RTX, else ONNX Runtime's CUDA provider.

The first rung on which both towers of a pair run in some precision is the engine; why
every rung above it fell through is part of the result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from benchmarks.gpu_check import engines
from benchmarks.gpu_check.engines import OrtEngine, TimedEngine
from export.targets import PRECISIONS, SUPPORTED, Precision
from releases.export_record import OptimisationProfile

Open = Callable[[Path, OptimisationProfile], TimedEngine]


@dataclass(frozen=True)
class Rung:
    """One kind of engine.

    Attributes:
        name: as in the result.
        precisions: in which its graphs are written.
        open: makes it from an ONNX file; raises with the reason where it cannot.
        captures: whether its launches can be captured in a CUDA graph of ours.
    """

    name: str
    precisions: tuple[Precision, ...]
    open: Open
    captures: bool = False


def rungs(device: str) -> list[Rung]:
    """Returns the ladder, best first; on the CPU it has one rung more, for rehearsals."""
    ladder = [
        Rung("TensorRT", PRECISIONS, _tensorrt, captures=True),
        Rung("TensorRT-RTX", PRECISIONS, _rtx),
        Rung("ONNX Runtime CUDA", SUPPORTED["onnxruntime"], _cuda),
    ]
    if device == "cpu":
        ladder.append(Rung("ONNX Runtime CPU", SUPPORTED["cpu"], _cpu))
    return ladder


def rung_named(name: str, device: str) -> Rung:
    """Returns a rung of the ladder by its name."""
    return next(rung for rung in rungs(device) if rung.name == name)


def _tensorrt(path: Path, profile: OptimisationProfile) -> TimedEngine:
    importlib.import_module("tensorrt")  # its absence, in its own words
    from benchmarks.gpu_check.tensorrt_engine import open_engine

    return open_engine(path, profile)


def _rtx(path: Path, profile: OptimisationProfile) -> TimedEngine:
    return engines.rtx_engine(path, profile)


def _cuda(path: Path, profile: OptimisationProfile) -> TimedEngine:
    del profile  # it takes any shape
    return OrtEngine(engines.cuda_session(path), f"{engines.CUDA} of onnxruntime {ort.__version__}", "cuda")


def _cpu(path: Path, profile: OptimisationProfile) -> TimedEngine:
    del profile
    return OrtEngine(engines.cpu_session(path), f"{engines.CPU} of onnxruntime {ort.__version__}", "cpu")
