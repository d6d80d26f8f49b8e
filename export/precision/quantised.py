"""An fp32 graph to one whose matrix products run in int8 or fp8: static, calibrated Q/DQ.

Static: every scale is a constant of the file, so a vector cannot depend on its neighbours.
ONNX Runtime's dynamic int8 takes one scale a batch; it is not offered.

What is quantised: MatMul with constant weights, which in a text encoder is nearly all of the work.
What stays fp32, because eight bits there cost accuracy and gain nothing:

- attention's two products (scores, and weights times values): short, and both inputs vary;
- convolutions: for the sample shop's towers they alone made nine tenths of the error, and ONNX
  Runtime on a CPU dequantises them and runs fp32 all the same, up to 17 % slower than without;
- what follows the pooling (Gemm in torch's exports): one row a text, and its numbers are the
  vector and the modality gate;
- embedding tables: a look-up reads a row, so int8 would make the file smaller and nothing faster;
- everything that is no product, additions of bias included.

Scales are symmetric with zero point 0, per tensor for activations and per output channel for
weights: what TensorRT takes. A CPU would like unsigned activations with a zero point a little
better, but after ``balancing`` the difference is small, and one graph serves both.

Calibration and insertion are onnxruntime.quantization's (MinMax: its histogram methods take
batches of one shape only, which would mean padding). Its fp8 way fits standard deviations
instead of ranges, so fp8 takes the very ranges of int8, mapped to 448, the largest number of
E4M3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.gate.engine import Feed
from export.precision.balancing import balance
from faults import InternalError

EightBits = Literal["int8", "fp8"]

_INT8_MOST, _FP8_MOST = 127.0, 448.0
_FP8 = helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN)
_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "OpTypesToExcludeOutputQuantization": ["MatMul"],
    "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
}


def quantise(model: onnx.ModelProto, precision: EightBits, feeds: Sequence[Feed]) -> onnx.ModelProto:
    """Returns the graph with Q/DQ around its matrix products; see the module's text.

    Args:
        model: an fp32 graph, every node named; it is left as it is.
        precision: ``int8``, or ``fp8`` (E4M3FN), which TensorRT alone runs.
        feeds: representative inputs; see ``calibration``.

    Raises:
        InternalError: there is nothing to quantise.
    """
    products = _products(model.graph)
    if not products:  # an empty list of names would quantise everything
        raise InternalError("the graph has no matrix product with constant weights")
    balanced = balance(model, products, feeds)
    result = _int8(balanced, [node.name for node in products], feeds)
    if precision == "fp8":
        _to_fp8(result.graph, {tensor.name: tensor for tensor in balanced.graph.initializer})
    del result.graph.value_info[:], result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


def _products(graph: onnx.GraphProto) -> list[NodeProto]:
    """Returns the nodes to quantise."""
    sizes = {tensor.name: tensor.dims for tensor in graph.initializer}
    return [
        node for node in graph.node if node.op_type == "MatMul" and len(sizes.get(node.input[1], ())) == 2
    ]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _int8(model: onnx.ModelProto, products: Sequence[str], feeds: Sequence[Feed]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(prefix="vitrine-quantise-") as folder:
        source, path = Path(folder) / "balanced.onnx", Path(folder) / "int8.onnx"
        # Through a file: a graph in memory would be changed in place.
        onnx.save(_marked(model), source)
        quantize_static(
            source,
            path,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=list(products),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=dict(_OPTIONS),
        )
        return onnx.load(path)


def _marked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph marked as simplified, which it is: ONNX Runtime warns where its mark is missing."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    helper.set_model_props(result, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return result


def _to_fp8(graph: onnx.GraphProto, weights: dict[str, TensorProto]) -> None:
    """Retypes int8 Q/DQ: the same ranges, with weights rounded anew from their fp32 values."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    retyped: set[str] = set()
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        given, scale_name, zero_name = node.input
        if scale_name not in retyped:
            scale = numpy_helper.to_array(constants[scale_name]) * np.float32(_INT8_MOST / _FP8_MOST)
            zero = np.zeros(scale.shape, _FP8)
            constants[scale_name].CopyFrom(numpy_helper.from_array(scale, scale_name))
            constants[zero_name].CopyFrom(numpy_helper.from_array(zero, zero_name))
            retyped.add(scale_name)
        if given in constants:
            weight = numpy_helper.to_array(weights[given.removesuffix("_quantized")])
            scale = numpy_helper.to_array(constants[scale_name])  # one a column
            low = (weight / scale).astype(_FP8)
            constants[given].CopyFrom(numpy_helper.from_array(low, given))
