import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from support.broken_engines import element_types, shapes
from support.tiny_shop import SIZE

from export import onnx_export
from export.gate.engine import OnnxEngine
from export.gate.numbers import Candidate, Shapes, check_numbers
from export.gate.samples import samples
from export.gate.thresholds import GateSettings
from export.onnx_export import TowerGraph, export_onnx, tower_graphs
from faults import GateFailed, InternalError
from towers.checkpoint import Checkpoint

TEXT = {"input_ids": "INT64", "attention_mask": "INT64"}


def session(path: Path) -> ort.InferenceSession:
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_the_query_towers_tensors_are_the_contracts(exported: dict[str, Path]) -> None:
    graph = onnx.load(exported["query_tower"]).graph
    assert element_types(graph.input) == TEXT
    assert element_types(graph.output) == {"query_embedding": "FLOAT"}
    assert shapes(graph.input) == {name: ["batch", "length"] for name in TEXT}
    assert shapes(graph.output)["query_embedding"][1] == 16


def test_the_product_towers_tensors_are_the_contracts(exported: dict[str, Path]) -> None:
    graph = onnx.load(exported["product_tower"]).graph
    assert element_types(graph.input) == {**TEXT, "pixels": "UINT8", "has_text": "BOOL", "has_image": "BOOL"}
    assert element_types(graph.output) == {"product_embedding": "FLOAT", "modality_weights": "FLOAT"}
    found = shapes(graph.input)
    assert found["pixels"] == ["batch", 1, SIZE, SIZE, 3]
    assert found["has_text"] == ["batch", 1]
    assert found["has_image"] == ["batch", 1]
    outputs = shapes(graph.output)
    assert (outputs["product_embedding"][1], outputs["modality_weights"][1]) == (16, 2)


def test_pixels_are_cast_inside_the_graph_before_all_else(exported: dict[str, Path]) -> None:
    uses = [node for node in onnx.load(exported["product_tower"]).graph.node if "pixels" in node.input]
    assert [node.op_type for node in uses] == ["Cast"]  # TensorRT takes UINT8 under no other condition


@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
def test_the_runner_finds_its_limits_in_the_file(
    exported: dict[str, Path], checkpoint: Checkpoint, tower: str
) -> None:
    found = session(exported[tower]).get_modelmeta().custom_metadata_map
    most = {"query_tower": 12, "product_tower": 16}[tower]
    assert found["max_tokens"] == str(most)
    assert found["vocabulary_size"] == str(checkpoint.towers.tokenizer.vocabulary_size)


@pytest.mark.parametrize(("rows", "length"), [(1, 2), (1, 16), (5, 9)])
def test_any_batch_and_length_gives_pytorchs_vectors(
    exported: dict[str, Path], product_graph: TowerGraph, rows: int, length: int
) -> None:
    random = np.random.default_rng(rows * length)
    mask = np.arange(length)[None] < random.integers(1, length + 1, (rows, 1))
    feed = {
        "input_ids": random.integers(0, product_graph.limits["vocabulary_size"], (rows, length)),
        "attention_mask": mask.astype(np.int64),
        "pixels": random.integers(0, 256, (rows, 1, SIZE, SIZE, 3)).astype(np.uint8),
        "has_text": random.random((rows, 1)) < 0.7,
        "has_image": random.random((rows, 1)) < 0.7,
    }
    vectors, weights = session(exported["product_tower"]).run(list(product_graph.outputs), feed)
    with torch.no_grad():
        expected = product_graph.module(*(torch.from_numpy(value) for value in feed.values()))
    np.testing.assert_allclose(vectors, expected[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(weights, expected[1].numpy(), atol=1e-5)


def test_one_tensor_given_as_two_examples_does_not_pass(
    checkpoint: Checkpoint, query_graph: TowerGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter takes two uses of one object for one input, and wires it twice."""
    same = torch.ones(3, 7, dtype=torch.int64)
    trapped = dataclasses.replace(query_graph, example=(same, same))
    check = onnx_export._check_contract
    monkeypatch.setattr(onnx_export, "_check_contract", lambda *_: None)
    export_onnx(trapped, tmp_path / "trapped.onnx")
    with pytest.raises(InternalError, match=r"inputs \('attention_mask',\)"):
        check(trapped, onnx.load(tmp_path / "trapped.onnx"))
    rows = samples(checkpoint.towers.tokenizer, checkpoint.recipe, 12, [])
    engine = OnnxEngine(tmp_path / "trapped.onnx", trapped.outputs)
    candidate = Candidate(engine, rows, Shapes.of(12, multiple_of=1, batches=(2,)))
    with pytest.raises(GateFailed):
        check_numbers(trapped, rows, candidate, 1, GateSettings().fp32)


def test_the_examples_are_distinct_objects(checkpoint: Checkpoint) -> None:
    for graph in tower_graphs(checkpoint):
        assert len({tensor.data_ptr() for tensor in graph.example}) == len(graph.inputs)


def test_an_input_that_the_graph_ignores_is_noticed(query_graph: TowerGraph, tmp_path: Path) -> None:
    class Deaf(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            del attention_mask
            return torch.nn.functional.normalize(input_ids.float()[:, :1].expand(-1, 16) + 1.0)

    deaf = dataclasses.replace(query_graph, module=Deaf().eval())
    with pytest.raises(
        InternalError, match=r"inputs \('input_ids',\), not \('input_ids', 'attention_mask'\)"
    ):
        export_onnx(deaf, tmp_path / "deaf.onnx")
    assert not (tmp_path / "deaf.onnx").exists()


def test_an_output_too_many_is_noticed(query_graph: TowerGraph, tmp_path: Path) -> None:
    class Talkative(torch.nn.Module):
        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return input_ids * 1.5, attention_mask * 2.5

    talkative = dataclasses.replace(query_graph, module=Talkative().eval())
    with pytest.raises(InternalError, match="outputs"):
        export_onnx(talkative, tmp_path / "talkative.onnx")
