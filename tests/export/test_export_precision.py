"""Exported towers in fp16 and bf16: types, islands, contract, and vectors near those of fp32."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.broken_engines import (
    blow_up_embeddings,
    element_types,
    overflow_in_fp16,
    shapes,
)
from support.precision_graphs import answers, float_inputs, hostile_rows, tiny_feeds, types_of

from evaluation.cosine import cosine_tails
from export.gate.samples import feed_of
from export.onnx_export import TowerGraph
from export.precision import convert
from export.targets import PRECISIONS, Precision
from faults import InternalError, InvalidInput
from towers.checkpoint import Checkpoint

NAMES = {"fp16": "FLOAT16", "bf16": "BFLOAT16"}
ISLANDS = {"LayerNormalization", "Softmax", "ReduceSum", "ReduceMean", "ReduceL2", "Clip", "Gemm"}


@pytest.fixture(params=["query_tower", "product_tower"])
def graph(request: pytest.FixtureRequest, query_graph: TowerGraph, product_graph: TowerGraph) -> TowerGraph:
    return {"query_tower": query_graph, "product_tower": product_graph}[request.param]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_keeps_the_contract_and_the_metadata(
    exported: dict[str, Path], graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path, precision: Precision
) -> None:
    convert(exported[graph.name], precision, tmp_path / "tower.onnx", tiny_feeds(graph, checkpoint))
    source, result = onnx.load(exported[graph.name]), onnx.load(tmp_path / "tower.onnx")
    onnx.checker.check_model(result, full_check=True)
    for before, after in (
        (source.graph.input, result.graph.input),
        (source.graph.output, result.graph.output),
    ):
        assert element_types(after) == element_types(before)
        assert shapes(after) == shapes(before)
        assert [value.name for value in after] == [value.name for value in before]
    found = {entry.key: entry.value for entry in result.metadata_props}
    assert found == {name: str(value) for name, value in graph.limits.items()}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_conversion_repeated_gives_the_same_bytes(
    exported: dict[str, Path], graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path, precision: Precision
) -> None:
    for name in ("one", "two"):
        convert(exported[graph.name], precision, tmp_path / name, tiny_feeds(graph, checkpoint))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_no_node_mixes_types_and_only_what_is_delicate_stays_fp32(
    exported: dict[str, Path], graph: TowerGraph, tmp_path: Path, precision: Precision
) -> None:
    convert(exported[graph.name], precision, tmp_path / "tower.onnx", [])
    model = onnx.load(tmp_path / "tower.onnx")
    types = types_of(model)
    for node in model.graph.node:
        assert len(float_inputs(node, types)) <= 1, node
        if node.op_type in ("MatMul", "Conv"):
            assert float_inputs(node, types) == {NAMES[precision]}
        if node.op_type in ISLANDS:
            assert float_inputs(node, types) == {"FLOAT"}
    makers = {name: node for node in model.graph.node for name in node.output}
    sums = [makers[node.input[0]] for node in model.graph.node if node.op_type == "LayerNormalization"]
    assert sums
    assert all(node.op_type == "Add" and float_inputs(node, types) == {"FLOAT"} for node in sums)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_no_cast_undoes_another_and_none_is_made_twice(
    exported: dict[str, Path], graph: TowerGraph, tmp_path: Path, precision: Precision
) -> None:
    convert(exported[graph.name], precision, tmp_path / "tower.onnx", [])
    model = onnx.load(tmp_path / "tower.onnx")
    types = types_of(model)
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    wanted = [(node.input[0], node.attribute[0].i) for node in casts.values()]
    assert len(set(wanted)) == len(wanted)
    assert not {node.input[0] for node in casts.values()} & set(casts)
    assert all(types[node.input[0]] != types[name] for name, node in casts.items())


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_weights_and_tables_are_stored_low(
    exported: dict[str, Path], graph: TowerGraph, tmp_path: Path, precision: Precision
) -> None:
    convert(exported[graph.name], precision, tmp_path / "tower.onnx", [])
    model = onnx.load(tmp_path / "tower.onnx")
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Conv", "Gather")]
    tables = {node.input[0] for node in products if node.op_type == "Gather"}
    weights = tables | {node.input[1] for node in products}
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    low = [stored[name] for name in weights if name in stored]
    assert tables
    assert set(low) == {TensorProto.DataType.Value(NAMES[precision])}
    read = {name for node in model.graph.node for name in node.input}
    assert set(stored) <= read, "an fp32 copy that nothing reads was left in the file"


def test_fp16_vectors_are_near_those_of_fp32(
    exported: dict[str, Path], graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    rows = hostile_rows(graph, checkpoint)
    convert(exported[graph.name], "fp16", tmp_path / "tower.onnx", [])
    expected, found = (answers(path, graph, rows) for path in (exported[graph.name], tmp_path / "tower.onnx"))
    assert np.abs(expected[0] - found[0]).max() > 0
    assert cosine_tails(expected[0], found[0]).minimum > 0.9999
    assert np.allclose(expected[-1], found[-1], atol=2e-3)


def test_bf16_vectors_are_near_those_of_fp32(
    exported: dict[str, Path], graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Through ONNX's reference: ONNX Runtime on a CPU has no bf16 convolution."""
    rows = hostile_rows(graph, checkpoint)[::5]
    convert(exported[graph.name], "bf16", tmp_path / "tower.onnx", [])
    expected = answers(exported[graph.name], graph, rows)
    evaluator = ReferenceEvaluator(str(tmp_path / "tower.onnx"))
    found = evaluator.run(list(graph.outputs), feed_of(rows, graph.inputs, 1))
    assert np.abs(expected[0] - found[0]).max() > 1e-4
    assert cosine_tails(expected[0], found[0]).minimum > 0.999


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_an_output_that_a_low_node_makes_is_given_back_in_fp32(tmp_path: Path, precision: Precision) -> None:
    """And whoever reads it inside the graph reads the low one."""
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
                helper.make_node("Relu", ["y"], ["z"], name="relu"),
            ],
            "g",
            [value("x", TensorProto.FLOAT, ["rows", 2])],
            [value("y", TensorProto.FLOAT, ["rows", 2]), value("z", TensorProto.FLOAT, ["rows", 2])],
            [numpy_helper.from_array(np.array([[1, -2], [3, 4]], np.float32), "w")],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "source.onnx")
    convert(tmp_path / "source.onnx", precision, tmp_path / "low.onnx", [])
    low = onnx.load(tmp_path / "low.onnx")
    y, z = ReferenceEvaluator(low).run(None, {"x": np.array([[1, 1]], np.float32)})
    assert (y.dtype, y.tolist(), z.tolist()) == (np.float32, [[4, 2]], [[4, 2]])
    types = types_of(low)
    assert all(len(float_inputs(node, types)) == 1 for node in low.graph.node)


def test_what_does_not_fit_fp16_stays_fp32_and_without_islands_it_overflows(
    exported: dict[str, Path], graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    rows = hostile_rows(graph, checkpoint)
    expected = answers(exported[graph.name], graph, rows)[0]
    huge = blow_up_embeddings(exported[graph.name], tmp_path / "huge.onnx")
    assert cosine_tails(expected, answers(huge, graph, rows)[0]).minimum > 0.99999
    convert(huge, "fp16", tmp_path / "islands.onnx", [])
    found = answers(tmp_path / "islands.onnx", graph, rows)[0]
    assert cosine_tails(expected, found).minimum > 0.9999
    naive = overflow_in_fp16(exported[graph.name], tmp_path / "naive.onnx")
    assert not np.isfinite(answers(naive, graph, rows)[0]).any()


def test_bf16_holds_what_fp16_does_not(exported: dict[str, Path], tmp_path: Path) -> None:
    huge = blow_up_embeddings(exported["query_tower"], tmp_path / "huge.onnx")
    stored = {}
    for precision in ("fp16", "bf16"):
        convert(huge, precision, tmp_path / "low.onnx", [])  # type: ignore[arg-type]
        graph = onnx.load(tmp_path / "low.onnx").graph
        table = next(node.input[0] for node in graph.node if node.op_type == "Gather")
        stored[precision] = next(tensor.data_type for tensor in graph.initializer if tensor.name == table)
    assert stored == {"fp16": TensorProto.FLOAT, "bf16": TensorProto.BFLOAT16}


def test_fp32_is_a_copy(exported: dict[str, Path], tmp_path: Path) -> None:
    convert(exported["query_tower"], "fp32", tmp_path / "copy.onnx", [])
    assert (tmp_path / "copy.onnx").read_bytes() == exported["query_tower"].read_bytes()


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_eight_bits_without_calibration_are_refused(
    exported: dict[str, Path], tmp_path: Path, precision: Precision
) -> None:
    with pytest.raises(InvalidInput, match="--precision") as caught:
        convert(exported["query_tower"], precision, tmp_path / "tower.onnx", [])
    assert (caught.value.value, bool(caught.value.fix)) == (precision, True)
    assert not (tmp_path / "tower.onnx").exists()


def test_a_conversion_that_breaks_the_contract_is_our_bug(
    exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "export.precision.to_low_precision",
        lambda model, _: onnx.compose.add_prefix(model, "other_"),
    )
    with pytest.raises(InternalError, match="inputs"):
        convert(exported["query_tower"], "fp16", tmp_path / "tower.onnx", [])
    stripped = onnx.load(exported["query_tower"])
    del stripped.metadata_props[:]
    monkeypatch.setattr("export.precision.to_low_precision", lambda *_: stripped)
    with pytest.raises(InternalError, match="metadata"):
        convert(exported["query_tower"], "fp16", tmp_path / "tower.onnx", [])
    assert not (tmp_path / "tower.onnx").exists()
