"""What can be exported for, apart from the code that does it: the command line asks without loading torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast, get_args

from faults import InvalidInput

Target = Literal["cpu", "onnxruntime", "tensorrt"]
"""What runs the engines: Triton's Python backend with ONNX Runtime, Triton's own ONNX Runtime backend
(CPU or CUDA), or TensorRT plans."""

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
"""Numbers in which the matrix products run; everything delicate stays fp32, and so do inputs and outputs."""

TARGETS: tuple[Target, ...] = get_args(Target)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

SUPPORTED: Mapping[Target, tuple[Precision, ...]] = {
    # A CPU has no fp16 matrix kernels in ONNX Runtime: it would convert to fp32 and back around each.
    "cpu": ("fp32", "int8"),
    # ONNX Runtime has bf16 and fp8 kernels for few operators only.
    "onnxruntime": ("fp32", "fp16", "int8"),
    "tensorrt": PRECISIONS,
}
"""Precisions by target."""


def require_supported(target: str, precision: str) -> None:
    """Checks a target and a precision.

    Raises:
        InvalidInput: one is unknown, or the target does not run the precision.
    """
    for name, value, known in (("--target", target, TARGETS), ("--precision", precision, PRECISIONS)):
        if value not in known:
            raise InvalidInput("not supported", field=name, value=value, fix=f"Use {', '.join(known)}.")
    runs: Sequence[str] = SUPPORTED[cast(Target, target)]
    if precision not in runs:
        raise InvalidInput(
            f"the target {target} does not run it",
            field="--precision",
            value=precision,
            fix=f"Use {', '.join(runs)}, or another --target.",
        )
