"""An exported fp32 tower in another precision, decided in the graph itself ("strongly typed").

    low_precision   fp16 and bf16, with fp32 islands
    quantised       int8 and fp8, static Q/DQ
    balancing       what makes eight bits enough for a transformer
    calibration     the rows that eight-bit ranges are taken from

Inputs and outputs keep their names and types in every precision, and so does the metadata.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import onnx

from export.gate.engine import Feed
from export.precision.low_precision import to_low_precision
from export.precision.quantised import quantise
from export.targets import Precision
from faults import InternalError, InvalidInput

__all__ = ["convert"]


def convert(source: Path, precision: Precision, path: Path, calibration: Sequence[Feed]) -> None:
    """Writes an fp32 tower in another precision; see the modules for what stays fp32.

    Args:
        source: an ONNX file as ``export.onnx_export`` writes it.
        precision: ``fp32`` copies the file.
        path: the file to write.
        calibration: representative inputs, as ``calibration.calibration_feeds`` makes them; read
            for int8 and fp8 only.

    Raises:
        InvalidInput: int8 or fp8 without calibration.
        InternalError: the result is no valid graph of the contract.
    """
    if precision == "fp32":
        shutil.copyfile(source, path)
        return
    model = onnx.load(source)
    if precision == "fp16" or precision == "bf16":
        result = to_low_precision(model, precision)
    else:
        if not calibration:
            raise InvalidInput(
                "needs rows to take its ranges from, and there is none",
                field="--precision",
                value=precision,
                fix="Name a catalogue that has products, or take fp16 or bf16.",
            )
        result = quantise(model, precision, calibration)
    _check(model, result)
    onnx.save_model(result, str(path))


def _check(source: onnx.ModelProto, result: onnx.ModelProto) -> None:
    onnx.checker.check_model(result, full_check=True)
    for kind in ("input", "output"):
        expected, found = (list(getattr(model.graph, kind)) for model in (source, result))
        if expected != found:
            raise InternalError(f"the converted graph has {kind}s {found}, not {expected}")
    if source.metadata_props != result.metadata_props:
        raise InternalError("the converted graph has other metadata")
