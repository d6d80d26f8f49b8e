"""PyTorch towers to ONNX graphs with the contract's tensor names.

Batch and token length are dynamic, pooling and normalisation are inside the graph,
and pictures enter as UINT8: what Triton gets is what the gateway has.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxslim
import torch
from torch import Tensor, nn

from faults import InternalError
from releases.manifest import TowerName
from towers.checkpoint import Checkpoint

OPSET = 20

QUERY_INPUTS = ("input_ids", "attention_mask")
PRODUCT_INPUTS = ("input_ids", "attention_mask", "pixels", "has_text", "has_image")


@dataclass(frozen=True)
class TowerGraph:
    """What is exported under one Triton model name.

    Args:
        name: the Triton model, ``query_tower`` or ``product_tower``.
        module: the tower in evaluation mode.
        inputs: names of its inputs, in order.
        outputs: names of its outputs, in order.
        example: one input tensor each; only dtypes and static sizes matter.
        dynamic: for each input, the axes that vary, with their names.
        limits: vocabulary_size and max_tokens, by which the runner checks requests. They go
            into the file's metadata: versions of two releases share one config.pbtxt.
    """

    name: TowerName
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]
    dynamic: tuple[dict[int, str], ...]
    limits: dict[str, int]


def tower_graphs(checkpoint: Checkpoint) -> tuple[TowerGraph, TowerGraph]:
    """Returns the query tower's and the product tower's graph description."""
    image = checkpoint.recipe.image
    vocabulary = checkpoint.towers.query.encoder.config.vocabulary
    # Distinct tensors: the exporter takes two uses of one object for one input, and wires it twice.
    ids, mask = torch.ones(3, 7, dtype=torch.int64), torch.ones(3, 7, dtype=torch.int64)
    pixels = torch.zeros(3, image.views, image.size, image.size, 3, dtype=torch.uint8)
    tokens, rows = {0: "batch", 1: "length"}, {0: "batch"}
    return (
        TowerGraph(
            "query_tower",
            checkpoint.towers.query,
            QUERY_INPUTS,
            ("query_embedding",),
            (ids, mask),
            (tokens, tokens),
            {"vocabulary_size": vocabulary, "max_tokens": checkpoint.recipe.max_query_tokens},
        ),
        TowerGraph(
            "product_tower",
            checkpoint.towers.product,
            PRODUCT_INPUTS,
            ("product_embedding", "modality_weights"),
            (
                ids,
                mask,
                pixels,
                torch.ones(3, 1, dtype=torch.bool),
                torch.ones(3, image.views, dtype=torch.bool),
            ),
            (tokens, tokens, rows, rows, rows),
            {"vocabulary_size": vocabulary, "max_tokens": checkpoint.recipe.max_product_tokens},
        ),
    )


def export_onnx(graph: TowerGraph, path: Path) -> None:
    """Writes the tower as one checked and simplified ONNX file.

    Raises:
        InternalError: the exporter's result is not a valid model of the contract.
    """
    dims = {name: torch.export.Dim(name, min=1) for axes in graph.dynamic for name in axes.values()}
    with warnings.catch_warnings(), _quiet_log():
        # The exporter warns of its own internals; what matters is checked below.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module,
            graph.example,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamic_shapes=tuple({axis: dims[name] for axis, name in axes.items()} for axes in graph.dynamic),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise InternalError(f"torch exported nothing for {graph.name}")
    model = onnxslim.slim(program.model_proto)
    onnx.checker.check_model(model, full_check=True)
    _check_contract(graph, model)
    onnx.helper.set_model_props(model, {name: str(value) for name, value in graph.limits.items()})
    onnx.save_model(model, str(path))


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Silences torch's exporter, which logs the packages that it could also use."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _check_contract(graph: TowerGraph, model: onnx.ModelProto) -> None:
    """Compares the names; an input of which nothing or only the shape is read does not count as one."""
    read = {name for node in model.graph.node if node.op_type != "Shape" for name in node.input}
    for kind, expected, found in (
        ("inputs", graph.inputs, tuple(value.name for value in model.graph.input if value.name in read)),
        ("outputs", graph.outputs, tuple(value.name for value in model.graph.output)),
    ):
        if found != expected:
            raise InternalError(f"{graph.name} was exported with {kind} {found}, not {expected}")
