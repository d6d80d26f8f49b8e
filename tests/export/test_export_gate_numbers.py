"""The gate that no engine passes which differs from PyTorch, or depends on what stands beside a row."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.broken_engines import count_padding, disturb, nan_for_long_texts, swap_colours

from export.gate import hostile_inputs
from export.gate.engine import Array, Feed, OnnxEngine, TorchEngine
from export.gate.numbers import Candidate, Shapes, check_numbers
from export.gate.samples import Sample, feed_of, samples
from export.gate.thresholds import GateSettings
from export.gate.weights import check_weights
from export.onnx_export import TowerGraph, export_onnx
from faults import GateFailed
from releases.manifest import GateReport
from towers.checkpoint import Checkpoint

SHAPES = Shapes.of(12, multiple_of=1, batches=(2, 5, 64))


@pytest.fixture(scope="module")
def rows(checkpoint: Checkpoint) -> list[Sample]:
    return samples(checkpoint.towers.tokenizer, checkpoint.recipe, 12, ["mug of the mug makers", "red lamp"])


def gate(graph: TowerGraph, path: Path, rows: list[Sample]) -> GateReport:
    candidate = Candidate(OnnxEngine(path, graph.outputs), rows, SHAPES)
    return check_numbers(graph, rows, candidate, 1, GateSettings().fp32)


def refused(graph: TowerGraph, path: Path, rows: list[Sample]) -> GateFailed:
    with pytest.raises(GateFailed) as caught:
        gate(graph, path, rows)
    assert caught.value.field == f"numbers of {graph.name}"
    assert caught.value.value
    assert caught.value.fix
    return caught.value


def named(error: GateFailed) -> list[str]:
    assert isinstance(error.value, list)
    return error.value


def test_the_sound_towers_pass_on_hostile_inputs(
    exported: dict[str, Path], query_graph: TowerGraph, product_graph: TowerGraph, rows: list[Sample]
) -> None:
    for graph in (query_graph, product_graph):
        report = gate(graph, exported[graph.name], rows)
        assert report.passed
        assert set(report.thresholds) <= set(report.measured)
        assert report.measured["minimum_cosine"] >= 0.99999
        assert report.measured["minimum_cosine_in_company"] >= 0.99999
        assert report.measured["not_finite_rows"] == 0
    assert 0 < report.measured["largest_weight_difference"] < 1e-5


def test_the_samples_are_hostile(rows: list[Sample]) -> None:
    names = " ".join(row.name for row in rows)
    assert len({row.place for row in rows}) == len(rows)
    assert all(text in names for text in ("''", "'a'", "🔥🔥👟 sale", "红色连衣裙", "red lamp"))
    lengths = [len(row.ids) for row in rows]
    assert (min(lengths), max(lengths)) == (2, 12)
    kinds = {(row.has_text, row.has_image) for row in rows}
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}
    shown = {row.pixels.tobytes() for row in rows if row.has_image}
    assert len(shown) == len(hostile_inputs.pictures(16)) == 8
    assert not any(row.pixels.any() for row in rows if not row.has_image)


def test_the_pictures_tell_the_channels_and_the_sides_apart() -> None:
    shots = hostile_inputs.pictures(16)
    assert {"black", "white", "noise", "1x1", "400x3"} <= set(shots)
    assert all(shot.shape == (16, 16, 3) and shot.dtype == np.uint8 for shot in shots.values())
    assert any((shot != shot[..., ::-1]).any() for shot in shots.values())
    assert (shots["ramp across"] == shots["ramp down"].transpose(1, 0, 2)).all()
    assert (shots["ramp across"] != shots["ramp down"]).any()


def test_a_feed_pads_and_stacks(rows: list[Sample], product_graph: TowerGraph) -> None:
    feed = feed_of(rows, product_graph.inputs, views=1)
    assert list(feed) == list(product_graph.inputs)
    assert feed["input_ids"].shape == feed["attention_mask"].shape == (len(rows), 12)
    assert feed["attention_mask"].sum(axis=1).tolist() == [len(row.ids) for row in rows]
    assert feed["has_image"].tolist() == [[row.has_image] for row in rows]
    assert feed["has_text"].tolist() == [[row.has_text] for row in rows]


def test_several_slots_are_filled_in_every_way_and_no_two_show_the_same(
    rows: list[Sample], product_graph: TowerGraph
) -> None:
    feed = feed_of(rows, product_graph.inputs, views=3)
    patterns = {tuple(row) for row in feed["has_image"].tolist()}
    assert patterns == {(False,) * 3, (True, False, False), (True,) * 3, (False, True, True)}
    assert not feed["pixels"][~feed["has_image"]].any()
    full = feed["has_image"].all(axis=1)
    ramps = [place for place, row in enumerate(rows) if full[place] and "ramp" in row.name]
    for place in ramps:
        assert len({picture.tobytes() for picture in feed["pixels"][place]}) == 3
    assert ramps
    alone = feed_of(rows[3:4], product_graph.inputs, views=3)
    assert (alone["has_image"] == feed["has_image"][3:4]).all()  # a row's slots do not hang on its company


@pytest.mark.parametrize(("multiple_of", "length", "found"), [(1, 0, 3), (8, 0, 8), (1, 12, 12), (8, 16, 16)])
def test_a_feed_is_as_wide_as_asked(rows: list[Sample], multiple_of: int, length: int, found: int) -> None:
    row = dataclasses.replace(rows[0], ids=[2, 7, 3])
    feed = feed_of([row], ("input_ids", "attention_mask"), 1, multiple_of, length)
    assert feed["input_ids"].tolist() == [[2, 7, 3] + [0] * (found - 3)]
    assert feed["attention_mask"].sum() == 3


class Recorder:
    """The tower itself; remembers the shapes in which it was run."""

    name = "recorder"

    def __init__(self, graph: TowerGraph) -> None:
        self._engine = TorchEngine(graph)
        self.shapes: set[tuple[int, int]] = set()

    def run(self, feed: Feed) -> list[Array]:
        rows, length = feed["input_ids"].shape
        self.shapes.add((rows, length))
        return self._engine.run(feed)


def test_every_batch_size_and_length_is_tried(query_graph: TowerGraph, rows: list[Sample]) -> None:
    engine = Recorder(query_graph)
    shapes = Shapes.of(12, multiple_of=8, batches=(4, 100))
    check_numbers(query_graph, rows, Candidate(engine, rows, shapes), 1, GateSettings().fp32)
    # Lengths: 8 and 12, not 16, for the tower takes 12. Full batches come short as well as long.
    assert engine.shapes == {(rows, length) for rows in (1, 4, 100) for length in (8, 12)}


@pytest.mark.parametrize("output", ["product_embedding", "modality_weights"])
def test_an_engine_that_answers_nan_for_some_rows_is_refused(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path, output: str
) -> None:
    path = nan_for_long_texts(exported["product_tower"], tmp_path / "nan.onnx", output, tokens=12)
    longest = {row.name for row in rows if len(row.ids) == 12}
    assert set(named(refused(product_graph, path, rows))) <= longest


def test_an_engine_with_other_modality_weights_is_refused(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    path = disturb(exported["product_tower"], tmp_path / "weights.onnx", "modality_weights", by=0.001)
    problem = refused(product_graph, path, rows).problem
    assert "largest_weight_difference 0.001" in problem
    assert "cosine" not in problem


def test_a_small_drift_of_every_vector_is_refused(
    exported: dict[str, Path], query_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    path = disturb(exported["query_tower"], tmp_path / "drift.onnx", "query_embedding", by=0.05)
    assert "mean_cosine" in refused(query_graph, path, rows).problem


class Meddling(TorchEngine):
    """The tower, and something done to its outputs for some shapes."""

    name = "meddling"

    def __init__(self, graph: TowerGraph, meddle: Callable[[list[Array], int, int], list[Array]]) -> None:
        super().__init__(graph)
        self._meddle = meddle

    def run(self, feed: Feed) -> list[Array]:
        return self._meddle(super().run(feed), *feed["input_ids"].shape)


def longer_in_company(outputs: list[Array], rows: int, _: int) -> list[Array]:
    return [outputs[0] * np.float32(1 if rows == 1 else 3), *outputs[1:]]


def mixed_up_in_full_short_batches(outputs: list[Array], rows: int, length: int) -> list[Array]:
    return [np.roll(outputs[0], 1, axis=0), *outputs[1:]] if rows == 64 and length == 8 else outputs


def wrong_at_one_batch_size(outputs: list[Array], rows: int, _: int) -> list[Array]:
    return [outputs[0][::-1], *outputs[1:]] if rows == 5 else outputs


def wrong_under_much_padding(outputs: list[Array], rows: int, length: int) -> list[Array]:
    """Pairs of short texts padded to the longest: what no unpadded batch shows."""
    return [-outputs[0], *outputs[1:]] if rows == 2 and length == 12 else outputs


def weights_of_the_neighbour(outputs: list[Array], rows: int, _: int) -> list[Array]:
    return [outputs[0], np.roll(outputs[1], 1, axis=0)] if rows > 1 else outputs


@pytest.mark.parametrize(
    ("meddle", "measure"),
    [
        (longer_in_company, "largest_norm_error"),
        (mixed_up_in_full_short_batches, "minimum_cosine_in_company"),
        (wrong_at_one_batch_size, "minimum_cosine_in_company"),
        (wrong_under_much_padding, "minimum_cosine_in_company"),
        (weights_of_the_neighbour, "largest_weight_difference_in_company"),
    ],
)
def test_what_goes_wrong_in_company_alone_is_refused_by_its_own_measure(
    product_graph: TowerGraph, rows: list[Sample], meddle, measure: str
) -> None:
    candidate = Candidate(Meddling(product_graph, meddle), rows, SHAPES)
    with pytest.raises(GateFailed) as caught:
        check_numbers(product_graph, rows, candidate, 1, GateSettings().fp32)
    assert f"published: {measure}" in caught.value.problem
    assert all(" in batches of " in name for name in named(caught.value))


def test_only_padding_shows_an_engine_that_is_wrong_at_its_longest(
    product_graph: TowerGraph, checkpoint: Checkpoint
) -> None:
    """Short texts alone: their batches are short, and only the padded runs reach the longest shape."""
    every = samples(checkpoint.towers.tokenizer, checkpoint.recipe, 12, [])
    short = [row for row in every if len(row.ids) <= 8]

    def wrong_at_the_longest(outputs: list[Array], _: int, length: int) -> list[Array]:
        return [-outputs[0], *outputs[1:]] if length == 12 else outputs

    engine = Meddling(product_graph, wrong_at_the_longest)
    with pytest.raises(GateFailed) as caught:
        check_numbers(product_graph, short, Candidate(engine, short, SHAPES), 1, GateSettings().fp32)
    assert all(" padded to 12" in name for name in named(caught.value))


def test_a_refusal_names_the_rows_that_missed_and_not_others(
    product_graph: TowerGraph, rows: list[Sample]
) -> None:
    without = np.array([not row.has_image for row in rows])

    class WrongWithoutPicture(TorchEngine):
        def run(self, feed: Feed) -> list[Array]:
            vectors, weights = super().run(feed)
            blank = ~feed["has_image"].any(axis=1)
            return [vectors, np.where(blank[:, None], weights[:, ::-1] * np.float32(0.5), weights)]

    candidate = Candidate(WrongWithoutPicture(product_graph), rows, SHAPES)
    with pytest.raises(GateFailed, match="published: largest_weight_difference") as caught:
        check_numbers(product_graph, rows, candidate, 1, GateSettings().fp32)
    assert without.any()
    assert all("without picture" in name for name in named(caught.value))


def test_vectors_that_are_too_long_are_refused_although_their_cosine_is_one(
    query_graph: TowerGraph, rows: list[Sample]
) -> None:
    stretched = Meddling(query_graph, lambda outputs, *_: [outputs[0] * np.float32(1.01)])
    with pytest.raises(GateFailed, match=r"published: largest_norm_error 0\.01"):
        check_numbers(query_graph, rows, Candidate(stretched, rows, SHAPES), 1, GateSettings().fp32)


def test_a_constant_that_is_no_number_is_found_though_no_sample_reads_it(
    exported: dict[str, Path], query_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    model = onnx.load(exported["query_tower"])
    seen = {token for row in rows for token in row.ids}
    words = query_graph.limits["vocabulary_size"]
    unseen = next(token for token in range(words - 1, 0, -1) if token not in seen)
    table = next(tensor for tensor in model.graph.initializer if tensor.dims[:1] == [words])
    values = onnx.numpy_helper.to_array(table).copy()
    values[unseen] = np.nan
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    path = tmp_path / "poisoned.onnx"
    onnx.save(model, path)
    gate(query_graph, path, rows)  # by its vectors it is sound
    with pytest.raises(GateFailed, match="NaN or infinity") as caught:
        check_weights("query_tower", path)
    assert caught.value.value == [f"{table.name}[{unseen}]"]
    check_weights("query_tower", exported["query_tower"])


def test_an_engine_that_cannot_run_the_rows_is_refused(
    exported: dict[str, Path], query_graph: TowerGraph, rows: list[Sample]
) -> None:
    """As one would that was exported with another vocabulary."""
    beyond = [dataclasses.replace(row, ids=[2, 10**6, 3]) for row in rows]
    engine = OnnxEngine(exported["query_tower"], query_graph.outputs)
    with pytest.raises(GateFailed, match="the engine fails") as caught:
        check_numbers(query_graph, rows, Candidate(engine, beyond, SHAPES), 1, GateSettings().fp32)
    assert caught.value.field.startswith("onnxruntime")


def test_a_tower_whose_rows_see_each_other_is_refused(
    query_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    """As a BatchNorm left in training mode would: PyTorch and ONNX agree, and both are wrong."""

    class Gossip(torch.nn.Module):
        def __init__(self, vocabulary: int) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(vocabulary, 16)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            own = (self.words(input_ids) * attention_mask[..., None]).sum(dim=1)
            return torch.nn.functional.normalize(own + 0.1 * own.mean(dim=0, keepdim=True))

    torch.manual_seed(0)
    gossip = dataclasses.replace(query_graph, module=Gossip(query_graph.limits["vocabulary_size"]).eval())
    export_onnx(gossip, tmp_path / "gossip.onnx")
    error = refused(gossip, tmp_path / "gossip.onnx", rows)
    assert "minimum_cosine_in_company" in error.problem


@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
def test_an_engine_that_counts_padding_is_refused_by_the_short_texts(
    exported: dict[str, Path],
    query_graph: TowerGraph,
    product_graph: TowerGraph,
    rows: list[Sample],
    tmp_path: Path,
    tower: str,
) -> None:
    graph = {"query_tower": query_graph, "product_tower": product_graph}[tower]
    error = refused(graph, count_padding(exported[tower], tmp_path / "broken.onnx"), rows)
    assert "minimum_cosine_in_company" in error.problem
    assert "mean_cosine" not in error.problem  # alone no row has padding


def test_a_tower_that_pools_over_padding_is_refused_though_the_engine_copies_it_well(
    query_graph: TowerGraph, rows: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towers.encoders.text_encoder.masked_mean", lambda hidden, _: hidden.mean(dim=1))
    export_onnx(query_graph, tmp_path / "pooled.onnx")
    error = refused(query_graph, tmp_path / "pooled.onnx", rows)
    assert "minimum_cosine_in_company" in error.problem


def test_an_engine_with_swapped_colours_is_refused_by_the_coloured_pictures(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    error = refused(product_graph, swap_colours(exported["product_tower"], tmp_path / "bgr.onnx"), rows)
    grey = {row.name for row in rows if (row.pixels == row.pixels[..., ::-1]).all()}
    assert set(named(error)).isdisjoint(grey)
