"""An fp32 graph to one whose matrix products run in int8 or fp8: static, calibrated Q/DQ.

Static: every scale is a constant of the file, so a vector cannot depend on its neighbours.
ONNX Runtime's dynamic int8 takes one scale a batch; it is not offered.

What is quantised: MatMul with constant weights, and Conv. What stays fp32, because eight bits
there cost accuracy and gain nothing:

- attention's two products (scores, and weights times values): short, and their inputs vary most;
- what follows the pooling (Gemm in torch's exports): one row a text, and its numbers are the
  vector and the modality gate;
- the convolution that reads the pixels: a few channels, the largest maps;
- embedding tables: a look-up reads a row, so int8 would make the file smaller and nothing faster.

All else is fp32 as well, and so are all additions of bias. Scales are symmetric with zero point
0, per tensor for activations and per output channel for weights: what TensorRT takes. Unsigned
activations with a zero point would suit a CPU a little better, but after ``balancing`` the
difference is small, and one graph serves both.

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

import ml_dtypes
import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.gate.engine import Feed
from export.precision.balancing import balance

EightBits = Literal["int8", "fp8"]

_INT8_MOST, _FP8_MOST = 127.0, 448.0
_COLOURS = 4
"""A convolution of at most so many channels reads a picture itself."""
_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,  # TensorRT takes no int32 bias
    "OpTypesToExcludeOutputQuantization": ["MatMul", "Conv"],
    "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1, "Conv": 0},
}


def quantise(model: onnx.ModelProto, precision: EightBits, feeds: Sequence[Feed]) -> onnx.ModelProto:
    """Returns the graph with Q/DQ around its matrix products; see the module's text.

    Args:
        model: an fp32 graph, every node named; it is left as it is.
        precision: ``int8``, or ``fp8`` (E4M3FN), which TensorRT alone runs.
        feeds: representative inputs; see ``calibration``.
    """
    products = _products(model.graph)
    balanced = balance(model, [node for node in products if node.op_type == "MatMul"], feeds)
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
        node
        for node in graph.node
        if (node.op_type == "MatMul" and len(sizes.get(node.input[1], ())) == 2)
        or (node.op_type == "Conv" and node.input[1] in sizes and sizes[node.input[1]][1] > _COLOURS)
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
            op_types_to_quantize=["MatMul", "Conv"],
            nodes_to_quantize=list(products),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=dict(_OPTIONS),
        )
        return onnx.load(path)


def _marked(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime wants graphs simplified first, and warns where its mark is missing; ours are simplified."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    onnx.helper.set_model_props(result, {"onnx.quant.pre_process": "onnxruntime.quant"})
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
            zero = np.zeros(scale.shape, ml_dtypes.float8_e4m3fn)
            constants[scale_name].CopyFrom(numpy_helper.from_array(scale, scale_name))
            constants[zero_name].CopyFrom(numpy_helper.from_array(zero, zero_name))
            retyped.add(scale_name)
        if given in constants:
            weight = numpy_helper.to_array(weights[given.removesuffix("_quantized")])
            axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
            scale = numpy_helper.to_array(constants[scale_name])
            along = scale.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
            low = (weight / along).astype(ml_dtypes.float8_e4m3fn)
            constants[given].CopyFrom(numpy_helper.from_array(low, given))
