"""What the tests of precisions ask of a graph: its types, its answers, and rows to calibrate on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto
from support.tiny_shop import COLOURS, png, tiny_catalogue

from catalog.catalogue import Catalogue
from catalog.schema import Picture
from export.gate.engine import Feed
from export.gate.samples import Sample, feed_of, samples
from export.onnx_export import TowerGraph
from export.precision.calibration import calibration_feeds
from towers.checkpoint import Checkpoint

FLOATS = {"FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "FLOAT8E4M3FN"}
QUERIES = ("red mug", "lamp", "white chair", "blue")
Answers = list[np.ndarray[Any, Any]]


def types_of(model: onnx.ModelProto) -> dict[str, str]:
    """The element type of every value and constant."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = [
        (value.name, value.type.tensor_type.elem_type)
        for value in (*graph.input, *graph.value_info, *graph.output)
    ]
    constants = [(tensor.name, tensor.data_type) for tensor in graph.initializer]
    return {name: TensorProto.DataType.Name(kind) for name, kind in (*values, *constants)}


def float_inputs(node: onnx.NodeProto, types: Mapping[str, str]) -> set[str]:
    """The floating point types of a node's inputs."""
    return {types[name] for name in node.input if name} & FLOATS


class _PlainPictures:
    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        return (Picture(product_id, "main", png(COLOURS[product_id.split("-")[1]])),)


def pictured_shop() -> Catalogue:
    """The tiny shop with a plain picture a product; of its three things, one is held out."""
    return Catalogue(tiny_catalogue().products, _PlainPictures())


def tiny_feeds(graph: TowerGraph, checkpoint: Checkpoint, catalogue: Catalogue | None = None) -> list[Feed]:
    """Calibration rows of the tiny shop."""
    tokenizer, recipe = checkpoint.towers.tokenizer, checkpoint.recipe
    return calibration_feeds(graph, tokenizer, recipe, catalogue or pictured_shop(), QUERIES)


def hostile_rows(graph: TowerGraph, checkpoint: Checkpoint) -> list[Sample]:
    """The gate's rows."""
    texts = ["mug of the mug makers", "red lamp", "chair"]
    return samples(checkpoint.towers.tokenizer, checkpoint.recipe, graph.limits["max_tokens"], texts)


def answers(path: Path, graph: TowerGraph, rows: Sequence[Sample], size: int | None = None) -> Answers:
    """What an engine answers for rows, ``size`` of them at a time."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    size = size or len(rows)
    parts = [
        session.run(list(graph.outputs), feed_of(rows[start : start + size], graph.inputs, 1))
        for start in range(0, len(rows), size)
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]
