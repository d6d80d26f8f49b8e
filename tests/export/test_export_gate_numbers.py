"""The gate that no engine passes which differs from PyTorch, or depends on what stands beside a row."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.broken_engines import count_padding, disturb, nan_for_long_texts, swap_colours

from export.gate import hostile_inputs
from export.gate.engine import Array, Feed, OnnxEngine, TorchEngine
from export.gate.numbers import Candidate, Shapes, check_numbers
from export.gate.samples import Sample, feed_of, samples
from export.gate.thresholds import GateSettings
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
    assert all(text in names for text in ("''", "'a'", "🔥🔥👟 sale", "红色连衣裙", "red lamp"))
    lengths = [len(row.ids) for row in rows]
    assert (min(lengths), max(lengths)) == (2, 12)
    assert {(row.has_text, row.has_image) for row in rows} == {(True, True), (True, False), (False, True)}
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
    feed = feed_of(rows, product_graph.inputs, views=2)
    assert list(feed) == list(product_graph.inputs)
    assert feed["input_ids"].shape == feed["attention_mask"].shape == (len(rows), 12)
    assert feed["attention_mask"].sum(axis=1).tolist() == [len(row.ids) for row in rows]
    several = [row.has_image and len(row.ids) % 2 == 1 for row in rows]
    assert any(several)
    assert feed["has_image"].tolist() == [
        [row.has_image, two] for row, two in zip(rows, several, strict=True)
    ]
    assert not feed["pixels"][~np.array(several), 1].any()


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
    assert {rows for rows, _ in engine.shapes} == {1, 4, 100}
    assert {length for _, length in engine.shapes} == {8, 12}  # not 16: the tower takes 12


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


def test_vectors_that_are_too_long_are_refused_although_their_cosine_is_one(
    query_graph: TowerGraph, rows: list[Sample]
) -> None:
    class Stretched(TorchEngine):
        def run(self, feed: Feed) -> list[Array]:
            return [1.01 * super().run(feed)[0].astype(np.float32)]

    candidate = Candidate(Stretched(query_graph), rows, SHAPES)
    with pytest.raises(GateFailed, match=r"published: largest_norm_error 0\.01"):
        check_numbers(query_graph, rows, candidate, 1, GateSettings().fp32)


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
    monkeypatch.setattr("towers.text_encoder.masked_mean", lambda hidden, _: hidden.mean(dim=1))
    export_onnx(query_graph, tmp_path / "pooled.onnx")
    error = refused(query_graph, tmp_path / "pooled.onnx", rows)
    assert "minimum_cosine_in_company" in error.problem


def test_an_engine_with_swapped_colours_is_refused_by_the_coloured_pictures(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    error = refused(product_graph, swap_colours(exported["product_tower"], tmp_path / "bgr.onnx"), rows)
    grey = {row.name for row in rows if (row.pixels == row.pixels[..., ::-1]).all()}
    assert set(named(error)).isdisjoint(grey)
