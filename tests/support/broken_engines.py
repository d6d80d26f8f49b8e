"""Exported towers, broken by editing their graph: what a gate has to notice."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic


def _constant(name: str, value: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def _consume_instead(graph: onnx.GraphProto, name: str, replacement: str) -> None:
    for node in graph.node:
        for place, given in enumerate(node.input):
            if given == name:
                node.input[place] = replacement


def _rename(graph: onnx.GraphProto, name: str, replacement: str) -> None:
    """Gives a value inside the graph another name, so that a graph's output can be made anew."""
    _consume_instead(graph, name, replacement)
    for node in graph.node:
        for place, made in enumerate(node.output):
            if made == name:
                node.output[place] = replacement


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def swap_colours(source: Path, path: Path) -> Path:
    """Reads BGR where RGB was meant, as a decoder of another library would."""
    model = onnx.load(source)
    _consume_instead(model.graph, "pixels", "swapped_pixels")
    model.graph.initializer.append(_constant("bgr", np.array([2, 1, 0])))
    model.graph.node.insert(0, helper.make_node("Gather", ["pixels", "bgr"], ["swapped_pixels"], axis=4))
    return _saved(model, path)


def count_padding(source: Path, path: Path) -> Path:
    """Takes every place for a token, padding included."""
    model = onnx.load(source)
    _consume_instead(model.graph, "attention_mask", "all_ones")
    model.graph.initializer.append(_constant("one", np.int64(1)))
    model.graph.node.insert(0, helper.make_node("Max", ["attention_mask", "one"], ["all_ones"]))
    return _saved(model, path)


def nan_for_long_texts(source: Path, path: Path, output: str, tokens: int) -> Path:
    """Overflows for texts of ``tokens`` tokens or more, as an fp16 engine does for some inputs."""
    model = onnx.load(source)
    _rename(model.graph, output, "sound")
    model.graph.initializer.extend(
        [
            _constant("axis_1", np.array([1])),
            _constant("long", np.int64(tokens)),
            _constant("nan", np.float32("nan")),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("ReduceSum", ["attention_mask", "axis_1"], ["text_length"], keepdims=1),
            helper.make_node("GreaterOrEqual", ["text_length", "long"], ["is_long"]),
            helper.make_node("Where", ["is_long", "nan", "sound"], [output]),
        ]
    )
    return _saved(model, path)


def disturb(source: Path, path: Path, output: str, by: float) -> Path:
    """Adds a constant to the first number of an output."""
    model = onnx.load(source)
    dim = (
        next(value for value in model.graph.output if value.name == output)
        .type.tensor_type.shape.dim[1]
        .dim_value
    )
    _rename(model.graph, output, "sound")
    offset = np.zeros((1, dim), dtype=np.float32)
    offset[0, 0] = by
    model.graph.initializer.append(_constant("offset", offset))
    model.graph.node.append(helper.make_node("Add", ["sound", "offset"], [output]))
    return _saved(model, path)


def blow_up_embeddings(source: Path, path: Path) -> Path:
    """The same function with huge numbers before the first LayerNormalization, which undoes the factor.

    Sound in fp32, and in fp16 with islands for what does not fit. The tables themselves leave fp16's
    range: ONNX Runtime on a CPU computes fp16 nodes in fp32 and rounds only what is stored, so that it
    would hide an overflow between two nodes.
    """
    model = onnx.load(source)
    tables = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    for tensor in model.graph.initializer:
        if tensor.name in tables and tensor.data_type == TensorProto.FLOAT:
            huge = numpy_helper.to_array(tensor) * np.float32(1e7)
            tensor.CopyFrom(numpy_helper.from_array(huge, tensor.name))
    return _saved(model, path)


def overflow_in_fp16(source: Path, path: Path) -> Path:
    """Everything in fp16 without islands, for a tower with numbers that do not fit."""
    model = onnx.load(blow_up_embeddings(source, path))
    graph = model.graph
    outputs = [value.name for value in graph.output]
    for name in outputs:
        _rename(graph, name, f"{name}_fp16")
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):
                halved = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(halved, tensor.name))
    graph.node.extend(
        helper.make_node("Cast", [f"{name}_fp16"], [name], to=TensorProto.FLOAT) for name in outputs
    )
    del graph.value_info[:]
    return _saved(model, path)


def dynamic_int8(source: Path, path: Path) -> Path:
    """ONNX Runtime's dynamic int8: activations take one scale a batch, so neighbours move a vector."""
    quantize_dynamic(source, path, op_types_to_quantize=["MatMul"], per_channel=True)
    return path


def element_types(values: object) -> dict[str, str]:
    """Names and element types of a graph's inputs or outputs."""
    return {value.name: TensorProto.DataType.Name(value.type.tensor_type.elem_type) for value in values}  # type: ignore[attr-defined]


def shapes(values: object) -> dict[str, list[int | str]]:
    """Names and shapes; a dynamic axis is its name."""
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values  # type: ignore[attr-defined]
    }
