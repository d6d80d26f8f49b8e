"""An fp32 graph to a strongly typed fp16 or bf16 one with fp32 islands.

Strongly typed: the graph says itself in which type each node runs, by Cast nodes, and no
node mixes types. TensorRT accepts nothing else. (ONNX Runtime on a CPU has few fp16 kernels:
it runs most such nodes in fp32 and drops the Casts between them, so overflows do not show there.)

Which nodes run low:

- matrix products over tokens and pixels (MatMul, Conv): nearly all of the work;
- cheap nodes that only take what a low node made (bias, GELU, ReLU, transpose, reshape):
  a cast to fp32 and back around them would cost more than they do;
- table look-ups (Gather from constants), so that the tables are stored low as well. Their
  rows are cast to fp32 before anything is computed with them.

All else is an island and stays fp32: LayerNormalization and residual sums, softmax and its
mask, masked means, L2 norms, the pixels' normalisation, and the modality gate. What follows
the pooling (Gemm in torch's exports) stays as well: it works on one row a text, so it costs
nothing, and its numbers are the vector. A node whose constants do not fit fp16 stays fp32.

Why not a library: onnxruntime.transformers.float16 knows no bf16, clamps what does not fit
instead of keeping it, and chooses islands by operator type, so that a bias and a residual,
both Add, cannot be told apart. ModelOpt AutoCast does both types, but pins other versions
of onnx and onnxruntime. The rule above is short, and the same for both types.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, version_converter

LowPrecision = Literal["fp16", "bf16"]

_LOW_TYPE = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_OPSET_OF_BF16_CONV = 22

_PRODUCTS = {"MatMul", "Conv"}
_FOLLOWERS = {
    "Add", "BatchNormalization", "Concat", "Div", "Erf", "Expand", "Flatten", "Gelu", "Identity", "MaxPool",
    "Mul", "Relu", "Reshape", "Sigmoid", "Slice", "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
}  # fmt: skip


def to_low_precision(model: onnx.ModelProto, precision: LowPrecision) -> onnx.ModelProto:
    """Returns the graph with its matrix products in ``precision``; see the module's text.

    Args:
        model: a checked fp32 graph without subgraphs; it is left as it is.
        precision: ``fp16`` or ``bf16``.

    Returns:
        A graph with the same inputs, outputs and metadata.
    """
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    if precision == "bf16" and opset < _OPSET_OF_BF16_CONV:
        model = version_converter.convert_version(model, _OPSET_OF_BF16_CONV)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Rewriting(result, precision).run()
    return result


class _Rewriting:
    """One pass over a graph's nodes, in their order: each gets its type, and Casts where types meet.

    Args:
        model: changed in place.
        precision: of the matrix products.
    """

    def __init__(self, model: onnx.ModelProto, precision: LowPrecision) -> None:
        self.graph, self.precision = model.graph, precision
        self.floats = set(_float_values(model))
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.low: set[str] = set()  # values in the low type
        self.looked_up: set[str] = set()  # those of them that are rows of a table
        self.copies: dict[tuple[str, bool], str] = {}  # (value, low?) -> its name in the other type
        self.nodes: list[NodeProto] = []

    def run(self) -> None:
        for node in list(self.graph.node):
            low = self._runs_low(node)
            for place, name in enumerate(node.input):
                if name in self.floats and low != (name in self.low):
                    node.input[place] = self._copy(name, low)
            self.nodes.append(node)
            made = self.floats.intersection(node.output) if low else set()
            self.low |= made
            self.looked_up |= made if node.op_type == "Gather" else set()
        for output in self.graph.output:
            if output.name in self.low:
                self._keep_output(output.name)
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self._drop_unused_constants()

    def _runs_low(self, node: NodeProto) -> bool:
        floats = [name for name in node.input if name in self.floats]
        if not all(self._fits(name) for name in floats if name in self.constants):
            return False
        if node.op_type == "Gather":
            return bool(floats) and floats[0] in self.constants
        made = [name for name in floats if name not in self.constants]
        if node.op_type in _PRODUCTS:
            return True
        follows = bool(made) and self.low.issuperset(made) and self.looked_up.isdisjoint(made)
        return node.op_type in _FOLLOWERS and follows

    def _fits(self, constant: str) -> bool:
        return bool(np.isfinite(self._lowered(constant)).all())

    def _lowered(self, constant: str) -> npt.NDArray[np.generic]:
        kind = helper.tensor_dtype_to_np_dtype(_LOW_TYPE[self.precision])
        with np.errstate(over="ignore"):  # what does not fit becomes infinite
            return numpy_helper.to_array(self.constants[constant]).astype(kind)

    def _copy(self, name: str, low: bool) -> str:
        """Returns the name of ``name`` in the other type; made once."""
        if (name, low) not in self.copies:
            copy = f"{name}_{self.precision if low else 'fp32'}"
            if name in self.constants:
                self.graph.initializer.append(numpy_helper.from_array(self._lowered(name), copy))
            else:
                kind = _LOW_TYPE[self.precision] if low else TensorProto.FLOAT
                self.nodes.append(helper.make_node("Cast", [name], [copy], name=f"cast_{copy}", to=kind))
            self.copies[name, low] = copy
        return self.copies[name, low]

    def _keep_output(self, output: str) -> None:
        """Gives the graph's output back its name and type, although a low node makes it."""
        made = f"{output}_{self.precision}"
        for node in self.nodes:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == output:
                        names[place] = made
        self.nodes.append(helper.make_node("Cast", [made], [output], to=TensorProto.FLOAT))

    def _drop_unused_constants(self) -> None:
        read = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _float_values(model: onnx.ModelProto) -> Iterator[str]:
    """Yields the names of all fp32 values and constants."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            yield value.name
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            yield tensor.name
