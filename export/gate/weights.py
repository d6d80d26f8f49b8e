"""The scan of an engine's constants: one that is no number may wait for a word that no sample has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from faults import GateFailed

_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.FLOAT8E4M3FN,
}


def check_weights(model: str, onnx_file: Path) -> None:
    """Refuses a file with a constant that is NaN or infinite.

    Args:
        model: the tower, for the message.
        onnx_file: what the engine is made of.

    Raises:
        GateFailed: there is one; the tensors and the first bad row of each are named.
    """
    bad = []
    for tensor in onnx.load(onnx_file).graph.initializer:
        if tensor.data_type in _FLOATS:
            finite = np.isfinite(numpy_helper.to_array(tensor).astype(np.float32))
            if not finite.all():
                row = int(np.argwhere(~np.atleast_1d(finite))[0][0])
                bad.append(f"{tensor.name}[{row}]")
    if bad:
        raise GateFailed(
            f"{len(bad)} constants hold NaN or infinity",
            field=f"weights of {model}",
            value=bad[:5],
            fix="Nothing was published. Look at the checkpoint, or take a precision with more range.",
        )
