"""Exported towers in int8 and fp8: static, symmetric, per channel, and deaf to their neighbours."""

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.broken_engines import dynamic_int8
from support.precision_graphs import answers, hostile_rows, tiny_feeds

from evaluation.cosine import cosine_tails
from export.gate.samples import feed_of
from export.onnx_export import TowerGraph
from export.precision import convert
from export.precision.balancing import balance
from export.targets import Precision
from faults import InternalError
from towers.checkpoint import Checkpoint

EIGHT_BITS: tuple[Precision, ...] = ("int8", "fp8")
MOST = {"int8": 127.0, "fp8": 448.0}
Make = Callable[[TowerGraph, Precision], Path]


@pytest.fixture(scope="module")
def make(exported: dict[str, Path], checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Each tower in each precision, converted once."""
    made: dict[tuple[str, str], Path] = {}

    def made_once(graph: TowerGraph, precision: Precision) -> Path:
        key = (graph.name, precision)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("eight-bits") / "tower.onnx"
            convert(exported[graph.name], precision, made[key], tiny_feeds(graph, checkpoint))
        return made[key]

    return made_once


@pytest.fixture(params=["query_tower", "product_tower"])
def graph(request: pytest.FixtureRequest, query_graph: TowerGraph, product_graph: TowerGraph) -> TowerGraph:
    return {"query_tower": query_graph, "product_tower": product_graph}[request.param]


def dequantised(model: onnx.ModelProto) -> dict[str, NodeProto]:
    return {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}


def constants(model: onnx.ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


@pytest.mark.parametrize("precision", EIGHT_BITS)
def test_products_with_weights_are_quantised_and_nothing_else(
    make: Make, graph: TowerGraph, precision: Precision
) -> None:
    model = onnx.load(make(graph, precision))
    quantised = dequantised(model)
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearMatMul"}
    for node in model.graph.node:
        eight = [name in quantised for name in node.input]
        assert eight == [True, True] or not any(eight), node
        assert node.op_type == "MatMul" or not any(eight), node
    attention = [
        node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] not in quantised
    ]
    assert len(attention) == 2, "scores, and weights times values, of the one layer"


@pytest.mark.parametrize("precision", EIGHT_BITS)
def test_scales_are_symmetric_and_weights_have_one_a_channel(
    make: Make, graph: TowerGraph, precision: Precision
) -> None:
    model = onnx.load(make(graph, precision))
    stored = constants(model)
    element = {"int8": TensorProto.INT8, "fp8": TensorProto.FLOAT8E4M3FN}[precision]
    weights = 0
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        given, scale, zero = node.input
        assert stored[zero].data_type == element
        assert not numpy_helper.to_array(stored[zero]).astype(np.float32).any()
        assert (numpy_helper.to_array(stored[scale]) > 0).all()
        if given not in stored:
            assert list(stored[scale].dims) == []
            continue
        weights += 1
        assert stored[given].data_type == element
        values = numpy_helper.to_array(stored[given]).astype(np.float32)
        assert [attribute.i for attribute in node.attribute if attribute.name == "axis"] == [1]
        assert list(stored[scale].dims) == [values.shape[1]]
        assert np.allclose(np.abs(values).max(axis=0), MOST[precision]), "a column does not use its range"
    assert weights == 6, "query, key, value, output, expand and contract of the one layer"


def test_fp8_has_the_ranges_of_int8(make: Make, graph: TowerGraph) -> None:
    ranges = {}
    for precision in EIGHT_BITS:
        stored = constants(onnx.load(make(graph, precision)))
        ranges[precision] = {
            name: numpy_helper.to_array(tensor) * MOST[precision]
            for name, tensor in stored.items()
            if name.endswith("_scale")
        }
    assert ranges["int8"].keys() == ranges["fp8"].keys()
    for name, most in ranges["int8"].items():
        assert np.allclose(most, ranges["fp8"][name], rtol=1e-6)


def test_fp8_weights_are_rounded_from_fp32_not_from_int8(make: Make, query_graph: TowerGraph) -> None:
    int8, fp8 = (constants(onnx.load(make(query_graph, precision))) for precision in EIGHT_BITS)
    names = [name for name in int8 if name.endswith("_quantized")]
    assert names
    for name in names:
        twice = (numpy_helper.to_array(int8[name]) * np.float32(448 / 127)).astype(ml_dtypes.float8_e4m3fn)
        assert (twice != numpy_helper.to_array(fp8[name])).any()


def test_int8_vectors_are_near_those_of_fp32(
    exported: dict[str, Path], make: Make, graph: TowerGraph, checkpoint: Checkpoint
) -> None:
    rows = hostile_rows(graph, checkpoint)
    expected, found = (answers(path, graph, rows) for path in (exported[graph.name], make(graph, "int8")))
    assert np.abs(expected[0] - found[0]).max() > 1e-4
    assert cosine_tails(expected[0], found[0]).minimum > 0.99
    assert np.allclose(np.linalg.norm(found[0], axis=1), 1, atol=1e-5)


def test_fp8_vectors_are_near_those_of_fp32(
    exported: dict[str, Path], make: Make, graph: TowerGraph, checkpoint: Checkpoint
) -> None:
    """Through ONNX's reference: ONNX Runtime has no fp8 product on a CPU."""
    rows = hostile_rows(graph, checkpoint)[::5]
    found = ReferenceEvaluator(str(make(graph, "fp8"))).run(
        list(graph.outputs), feed_of(rows, graph.inputs, 1)
    )
    tails = cosine_tails(answers(exported[graph.name], graph, rows)[0], found[0])
    assert 0.98 < tails.minimum < 0.99999


def test_neighbours_move_no_vector_in_static_int8_but_in_dynamic_int8(
    exported: dict[str, Path], make: Make, graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    rows = hostile_rows(graph, checkpoint)

    def alone(path: Path) -> float:
        together, single = (answers(path, graph, rows, size)[0] for size in (None, 1))
        return cosine_tails(together, single).minimum

    assert alone(make(graph, "int8")) > 0.99999
    assert alone(dynamic_int8(exported[graph.name], tmp_path / "dynamic.onnx")) < 0.99995


def test_padding_moves_no_vector_in_int8(make: Make, graph: TowerGraph, checkpoint: Checkpoint) -> None:
    rows = [row for row in hostile_rows(graph, checkpoint) if len(row.ids) <= 8]
    model = ReferenceEvaluator(str(make(graph, "int8")))
    short, long = (
        model.run(list(graph.outputs), feed_of(rows, graph.inputs, 1, length=length))[0] for length in (8, 12)
    )
    assert cosine_tails(short, long).minimum > 0.9999


def test_balancing_changes_no_answer_and_evens_channels_out(
    exported: dict[str, Path], query_graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    rows, feeds = hostile_rows(query_graph, checkpoint), tiny_feeds(query_graph, checkpoint)
    model = onnx.load(exported["query_tower"])
    before = model.SerializeToString()
    stored = constants(model)
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in stored]
    onnx.save(balance(model, products, feeds), tmp_path / "balanced.onnx")
    assert model.SerializeToString() == before
    expected, found = (
        answers(path, query_graph, rows)[0] for path in (exported["query_tower"], tmp_path / "balanced.onnx")
    )
    assert np.allclose(expected, found, atol=1e-5)

    unevenness = {}
    for strength in (0.0, 0.8):
        balanced = balance(model, products, feeds, strength)
        graph = balanced.graph
        names = {product.name for product in products}
        inputs = {node.input[0] for node in graph.node if node.name in names}
        assert inputs == {f"{name}_balanced" for name in names}
        graph.output.extend(
            onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs
        )
        values = ReferenceEvaluator(balanced).run(sorted(inputs), feeds[-1])
        largest = [np.abs(value).reshape(-1, value.shape[-1]).max(axis=0) for value in values]
        unevenness[strength] = [np.ptp(np.log(channels[channels > 0])) for channels in largest]
    assert np.mean(unevenness[0.8]) < np.mean(unevenness[0.0])


def test_a_silent_channel_is_left_alone() -> None:
    """Its scale would be 0, and 0 times infinity is no number."""
    value = onnx.helper.make_tensor_value_info
    weight = np.array([[1, 2], [3, 4], [0, 0]], np.float32)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                onnx.helper.make_node("Identity", ["x"], ["seen"], name="entry"),
                onnx.helper.make_node("MatMul", ["seen", "w"], ["y"], name="product"),
            ],
            "g",
            [value("x", TensorProto.FLOAT, ["rows", 3])],
            [value("y", TensorProto.FLOAT, ["rows", 2])],
            [numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=10,
    )
    rows = np.array([[0, 50, 7], [0, -9, 3]], np.float32)
    balanced = balance(model, [model.graph.node[1]], [{"x": rows}])
    onnx.checker.check_model(balanced, full_check=True)
    assert np.allclose(ReferenceEvaluator(balanced).run(None, {"x": rows})[0], rows @ weight)
    shrink = numpy_helper.to_array(constants(balanced)["product_shrink"])
    assert shrink[[0, 2]].tolist() == [1, 1]
    assert np.isclose(shrink[1], 4**0.2 / 50**0.8)


def test_a_graph_with_nothing_to_quantise_is_our_bug(
    exported: dict[str, Path], query_graph: TowerGraph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = onnx.load(exported["query_tower"])
    for node in model.graph.node:
        if node.op_type == "MatMul":
            node.op_type, node.domain = "Gelu", ""
    onnx.save(model, tmp_path / "none.onnx")
    with pytest.raises(InternalError, match="no matrix product"):
        convert(tmp_path / "none.onnx", "int8", tmp_path / "int8.onnx", tiny_feeds(query_graph, checkpoint))
