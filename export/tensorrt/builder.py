"""One ONNX graph to one TensorRT plan, through ``build_process`` in an interpreter that has TensorRT.

Plan and timing cache are written beside their places and renamed: what crashes, is refused or takes too long
leaves nothing behind. Builds of the same graph differ, because the builder times kernels; the timing
cache keeps what it found, which makes the next build faster and steadier.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import onnx

from export.tensorrt.installation import ask, default_interpreter, require_tensorrt
from faults import InvalidInput
from releases.export_record import OptimisationProfile
from releases.files import storage_errors, write_atomically

_PARTS: tuple[Literal["min", "opt", "max"], ...] = ("min", "opt", "max")
_SHOWN_ERRORS = 5
_FIXES = {
    "parse": "export it in another precision, or with the TensorRT that this Vitrine names (docker/).",
    "profile": "give smallest, usual and largest shapes in that order, for every axis that varies.",
    "build": "mend what TensorRT names, or build with the TensorRT that this Vitrine names (docker/).",
}

Shape = list[int | str]
"""Numbers, and names where a size varies."""


@dataclass(frozen=True)
class BuildSettings:
    """How plans are built.

    Args:
        interpreter: has TensorRT.
        timing_caches: folder of the timing caches; none keeps nothing.
        compute_capability: of the GPU here, such as ``9.0``; a timing cache belongs to it.
        tf32: whether fp32 products may run in TF32, which drops 13 bits of the mantissa. An engine
            that calls itself fp32 must not.
        workspace_bytes: most scratch memory of a kernel; none is all of the GPU's.
        optimization_level: 0 (fast build) to 5 (long search); none is TensorRT's own.
        timeout_s: after which a build is ended.
    """

    interpreter: str = field(default_factory=default_interpreter)
    timing_caches: Path | None = None
    compute_capability: str = ""
    tf32: bool = False
    workspace_bytes: int | None = None
    optimization_level: int | None = None
    timeout_s: float = 1800.0


@dataclass(frozen=True)
class BuildResult:
    """A plan that was built."""

    plan: Path
    plan_bytes: int
    tensorrt_version: str
    layers: int
    """Of the network as parsed, before fusion."""
    flags: dict[str, Any]
    """The builder's settings, for the manifest."""
    timing_cache: str
    """``new``, ``reused``, or ``refused`` where the kept one was damaged or of another GPU."""
    warnings: tuple[str, ...]
    seconds: float


def build_plan(
    onnx_file: Path, plan: Path, profiles: Sequence[OptimisationProfile], settings: BuildSettings
) -> BuildResult:
    """Builds the plan of one graph.

    Args:
        onnx_file: precision is decided in it; its varying axes are named ``batch`` and ``length``.
        plan: the file to write; its folder exists.
        profiles: shapes to build for.
        settings: how.

    Raises:
        NotFound: the interpreter has no TensorRT; the message says what to do.
        InvalidInput: TensorRT refuses the graph or a profile; its reasons and the nodes are named.
        Unavailable: its process crashed or took too long.
        StorageFailed: the disk refused.
    """
    version = require_tensorrt(settings.interpreter)
    inputs = input_shapes(onnx_file)
    cache = timing_cache_path(settings, version)
    with (
        storage_errors(plan.parent, "no plan was written"),
        tempfile.TemporaryDirectory(prefix=".build-", dir=plan.parent) as folder,
    ):
        built, timings = Path(folder) / "plan", Path(folder) / "timings"
        answer = ask(
            settings.interpreter,
            {
                "onnx": str(onnx_file.resolve()),
                "plan": str(built.resolve()),
                "timing_cache_in": str(cache.resolve()) if cache else None,
                "timing_cache_out": str(timings.resolve()) if cache else None,
                "profiles": [profile_shapes(inputs, profile) for profile in profiles],
                "tf32": settings.tf32,
                "workspace_bytes": settings.workspace_bytes,
                "optimization_level": settings.optimization_level,
            },
            settings.timeout_s,
        )
        if not answer["ok"]:
            raise _refusal(onnx_file, answer)
        if cache and timings.is_file():
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(cache, timings.read_bytes())
        size = built.stat().st_size
        built.replace(plan)
    return BuildResult(
        plan=plan,
        plan_bytes=size,
        tensorrt_version=answer["tensorrt_version"],
        layers=answer["layers"],
        flags=answer["flags"],
        timing_cache=answer["timing_cache"],
        warnings=tuple(answer["warnings"]),
        seconds=answer["seconds"],
    )


def input_shapes(onnx_file: Path) -> dict[str, Shape]:
    """Returns the shape of each input of a graph.

    Raises:
        InvalidInput: the file is no ONNX model.
    """
    try:
        graph = onnx.load_model(str(onnx_file), load_external_data=False).graph
    except Exception as error:  # protobuf's and the system's errors have no base in common
        raise InvalidInput(
            f"not an ONNX file: {error}", field="onnx", value=str(onnx_file), fix="export the tower again."
        ) from error
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in graph.input
    }


def profile_shapes(
    inputs: Mapping[str, Shape], profile: OptimisationProfile
) -> dict[str, dict[str, list[int]]]:
    """Returns the smallest, usual and largest shape of every input under one profile.

    Raises:
        InvalidInput: an axis varies under another name than ``batch`` and ``length``.
    """
    shapes: dict[str, dict[str, list[int]]] = {}
    for name, shape in inputs.items():
        shapes[name] = {}
        for place, part in enumerate(_PARTS):
            sizes: dict[int | str, int] = {"batch": profile.batch[place], "length": profile.length[place]}
            unknown = [size for size in shape if isinstance(size, str) and size not in sizes]
            if unknown:
                raise InvalidInput(
                    "an axis that no profile knows",
                    field=name,
                    value=shape,
                    fix="name varying axes 'batch' and 'length'.",
                )
            shapes[name][part] = [sizes[size] if isinstance(size, str) else size for size in shape]
    return shapes


def timing_cache_path(settings: BuildSettings, tensorrt_version: str) -> Path | None:
    """Returns where the timings of this GPU and this TensorRT are kept."""
    if settings.timing_caches is None:
        return None
    gpu = f"cc{settings.compute_capability.replace('.', '')}" if settings.compute_capability else "no-gpu"
    return settings.timing_caches / f"{gpu}-tensorrt-{tensorrt_version}.timings"


def _refusal(onnx_file: Path, answer: dict[str, Any]) -> InvalidInput:
    """Renders TensorRT's reasons, each with the node that it names."""
    told = []
    for error in answer["errors"][:_SHOWN_ERRORS]:
        node = f"{error['operator']} {error['node']!r}: " if error.get("node") else ""
        told.append(node + " ".join(error["text"].split()))
    more = len(answer["errors"]) - len(told)
    if more > 0:
        told.append(f"and {more} more")
    return InvalidInput(
        f"TensorRT {answer['tensorrt_version']} refuses it ({answer['stage']}): " + "; ".join(told),
        field=onnx_file.name,
        fix=_FIXES[answer["stage"]],
    )
