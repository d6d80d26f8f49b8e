"""Tiny towers with the contract's inputs and outputs, built without torch and without training."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def _masked_mean(prefix, output):
    """Nodes: embedding rows of the ids, averaged where the mask is 1 -> [rows, dim]."""
    node = helper.make_node
    return [
        node("Gather", ["table", "input_ids"], [f"{prefix}_rows"]),
        node("Cast", ["attention_mask"], [f"{prefix}_mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", [f"{prefix}_mask", "last_axis"], [f"{prefix}_mask3"]),
        node("Mul", [f"{prefix}_rows", f"{prefix}_mask3"], [f"{prefix}_masked"]),
        node("ReduceSum", [f"{prefix}_masked", "axis_1"], [f"{prefix}_sum"], keepdims=0),
        node("ReduceSum", [f"{prefix}_mask3", "axis_1"], [f"{prefix}_count"], keepdims=0),
        node("Div", [f"{prefix}_sum", f"{prefix}_count"], [output]),
    ]


def _save(path, nodes, inputs, outputs, constants, metadata):
    graph = helper.make_graph(nodes, "tower", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {name: str(value) for name, value in (metadata or {}).items()})
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def _text_inputs():
    info = helper.make_tensor_value_info
    return [info(name, TensorProto.INT64, ["rows", "length"]) for name in ("input_ids", "attention_mask")]


def _shared(dim, vocabulary_size, seed):
    random = np.random.default_rng(seed)
    return [
        _constant("table", random.normal(size=(vocabulary_size, dim)).astype(np.float32)),
        _constant("last_axis", np.array([-1], dtype=np.int64)),
        _constant("axis_1", np.array([1], dtype=np.int64)),
    ]


def build_query_tower(
    path: Path, *, dim: int = 8, vocabulary_size: int = 100, seed: int = 0, metadata: dict | None = None
) -> Path:
    """input_ids, attention_mask -> query_embedding [rows, dim], L2-normalised."""
    nodes = [
        *_masked_mean("text", "mean"),
        helper.make_node("LpNormalization", ["mean"], ["query_embedding"], axis=-1, p=2),
    ]
    output = helper.make_tensor_value_info("query_embedding", TensorProto.FLOAT, ["rows", dim])
    _save(path, nodes, _text_inputs(), [output], _shared(dim, vocabulary_size, seed), metadata)
    return path


def build_product_tower(
    path: Path,
    *,
    dim: int = 8,
    vocabulary_size: int = 100,
    views: int = 1,
    size: int = 64,
    seed: int = 0,
    metadata: dict | None = None,
) -> Path:
    """All five inputs -> product_embedding [rows, dim], modality_weights [rows, 2] that sum to 1."""
    node, info = helper.make_node, helper.make_tensor_value_info
    nodes = [
        *_masked_mean("text", "text_vector"),
        node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        node("ReduceMean", ["floats", "space"], ["colour"], keepdims=0),
        node("Div", ["colour", "brightest"], ["unit_colour"]),
        node("MatMul", ["unit_colour", "projection"], ["image_vector"]),
        node("Cast", ["has_text"], ["text_flag"], to=TensorProto.FLOAT),
        node("Cast", ["has_image"], ["view_flags"], to=TensorProto.FLOAT),
        node("ReduceMax", ["view_flags", "axis_1"], ["image_flag"], keepdims=1),
        node("Concat", ["text_flag", "image_flag"], ["flags"], axis=1),
        node("ReduceSum", ["flags", "axis_1"], ["flag_sum"], keepdims=1),
        node("Div", ["flags", "flag_sum"], ["modality_weights"]),
        node("Split", ["modality_weights"], ["w_text", "w_image"], axis=1, num_outputs=2),
        node("Mul", ["text_vector", "w_text"], ["weighted_text"]),
        node("Mul", ["image_vector", "w_image"], ["weighted_image"]),
        node("Add", ["weighted_text", "weighted_image"], ["mixed"]),
        node("LpNormalization", ["mixed"], ["product_embedding"], axis=-1, p=2),
    ]
    constants = [
        *_shared(dim, vocabulary_size, seed),
        _constant("space", np.array([1, 2, 3], dtype=np.int64)),
        _constant("brightest", np.float32(255)),
        _constant("projection", np.random.default_rng(seed + 1).normal(size=(3, dim)).astype(np.float32)),
    ]
    inputs = [
        *_text_inputs(),
        info("pixels", TensorProto.UINT8, ["rows", views, size, size, 3]),
        info("has_text", TensorProto.BOOL, ["rows", 1]),
        info("has_image", TensorProto.BOOL, ["rows", views]),
    ]
    outputs = [
        info("product_embedding", TensorProto.FLOAT, ["rows", dim]),
        info("modality_weights", TensorProto.FLOAT, ["rows", 2]),
    ]
    _save(path, nodes, inputs, outputs, constants, metadata)
    return path
