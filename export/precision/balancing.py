"""Moves outlying channels of activations into the weights, so that eight bits are enough for both.

A transformer's activations have a few channels that are many times larger than the rest; one
scale for all channels then leaves the rest a handful of steps. Scaling each input channel j of
a product X W down by s_j, and row j of W up by s_j, changes nothing in exact arithmetic:

    s_j = max|X_j|^a / max|W_j|^(1-a)

which is equation 4 of SmoothQuant (Xiao et al., ICML 2023). Other than there the division is a Mul
node of its own and not folded into the LayerNormalization before it, because the residual reads
that one too. And each product has its own s, also where several read one X: query, key and value
would else share one quantised X, and ONNX Runtime on a CPU runs in int8 only a product that has
its own. The others it dequantises at every call: a short query took four times as long.

Measured on MiniLM towers in int8, the mean cosine to fp32 rises from 0.97 to 0.997.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.gate.engine import Feed

STRENGTH = 0.8
"""The a above. The paper takes 0.5 and more for models with strong outliers; of 0.4 to 1 tried on MiniLM,
0.8 is best: below, activations lose precision, above, texts unlike those of the calibration do."""

Vector = npt.NDArray[np.float32]


def balance(
    model: onnx.ModelProto, products: Sequence[NodeProto], feeds: Sequence[Feed], strength: float = STRENGTH
) -> onnx.ModelProto:
    """Returns a graph of the same function whose products have balanced inputs.

    Args:
        model: an fp32 graph; it is left as it is.
        products: those of its MatMul nodes to balance; each second input is a constant [in, out].
        feeds: representative inputs, from which the largest activations are taken.
        strength: 0 leaves the channels' sizes to the weights, 1 makes all activation channels equal.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, names = result.graph, {node.name for node in products}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    chosen = [node for node in graph.node if node.name in names]
    largest = _largest_by_channel(result, sorted({node.input[0] for node in chosen}), feeds)
    shrinking: dict[str, NodeProto] = {}
    for node in chosen:
        value, weight = node.input[0], weights[node.input[1]]
        scale = _scale(largest[value], np.abs(weight).max(axis=1), strength)
        shrunk, grown = f"{node.name}_balanced", f"{node.name}_weight"
        graph.initializer.append(numpy_helper.from_array(1 / scale, f"{node.name}_shrink"))
        graph.initializer.append(numpy_helper.from_array(weight * scale[:, None], grown))
        node.input[0], node.input[1] = shrunk, grown
        shrinking[node.name] = helper.make_node(
            "Mul", [value, f"{node.name}_shrink"], [shrunk], name=f"{node.name}_balancing"
        )
    before = ([shrinking[node.name]] if node.name in names else [] for node in graph.node)
    _replace(graph, [part for node, more in zip(graph.node, before, strict=True) for part in (*more, node)])
    return result


def _scale(activation: Vector, weight: Vector, strength: float) -> Vector:
    """Returns s_j; 1 for a channel that is silent or unread."""
    used = (activation > 0) & (weight > 0)
    activation, weight = np.where(used, activation, 1), np.where(used, weight, 1)
    return np.where(used, activation**strength / weight ** (1 - strength), 1).astype(np.float32)


def _largest_by_channel(
    model: onnx.ModelProto, values: Sequence[str], feeds: Sequence[Feed]
) -> Mapping[str, Vector]:
    """Returns the largest absolute value in each channel (last axis) of some values."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in values
    )
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    largest: dict[str, Vector] = {}
    for feed in feeds:
        for name, found in zip(values, session.run(list(values), feed), strict=True):
            here = np.abs(found).reshape(-1, found.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, here), here)
    return largest


def _replace(graph: onnx.GraphProto, nodes: Sequence[NodeProto]) -> None:
    """Sets the nodes, and drops the constants that none of them reads."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    read = {name for node in copies for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
