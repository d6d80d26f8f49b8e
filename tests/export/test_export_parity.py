"""The gate that no engine passes which differs from PyTorch, or depends on what stands beside a row."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.broken_engines import count_padding, disturb, nan_for_long_texts, swap_colours

from export import hostile_inputs
from export.onnx_export import TowerGraph, export_onnx
from export.parity import Sample, check_parity, feed_of, samples
from faults import GateFailed
from releases.manifest import GateReport
from towers.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def rows(checkpoint: Checkpoint) -> list[Sample]:
    return samples(checkpoint.towers.tokenizer, checkpoint.recipe, 12, ["mug of the mug makers", "red lamp"])


def gate(graph: TowerGraph, path: Path, rows: list[Sample]) -> GateReport:
    return check_parity(graph, path, rows, 1, "fp32")


def refused(graph: TowerGraph, path: Path, rows: list[Sample]) -> GateFailed:
    with pytest.raises(GateFailed) as caught:
        gate(graph, path, rows)
    assert caught.value.field == f"parity of {graph.name}"
    assert caught.value.fix
    return caught.value


def measured(error: GateFailed) -> dict[str, float]:
    found: dict[str, float] = ast.literal_eval(error.problem.partition(": ")[2].partition(" against ")[0])
    return found


def test_the_sound_towers_pass_on_hostile_inputs(
    exported: dict[str, Path], query_graph: TowerGraph, product_graph: TowerGraph, rows: list[Sample]
) -> None:
    for graph in (query_graph, product_graph):
        report = gate(graph, exported[graph.name], rows)
        assert report.passed
        assert set(report.thresholds) <= set(report.measured)
        assert report.measured["minimum_cosine"] >= 0.99999
        assert report.measured["minimum_cosine_alone"] >= 0.99999
    assert report.measured["largest_weight_difference"] < 1e-5


def test_the_samples_are_hostile(rows: list[Sample]) -> None:
    names = {row.name for row in rows}
    assert {"", "a", "🔥🔥👟 sale", "red lamp"} <= names
    lengths = [len(row.ids) for row in rows]
    assert (min(lengths), max(lengths)) == (2, 12)
    kinds = {(row.has_text, row.has_image) for row in rows}
    assert kinds == {(True, True), (True, False), (False, True)}
    assert not any(row.has_text for row in rows if not row.name.strip())
    shown = {row.pixels.tobytes() for row in rows if row.has_image}
    assert len(shown) == len(hostile_inputs.pictures(16))


def test_the_pictures_tell_the_channels_and_the_sides_apart() -> None:
    shots = hostile_inputs.pictures(16)
    assert shots.shape == (6, 16, 16, 3)
    assert shots.dtype == np.uint8
    assert not (shots == shots[..., ::-1]).all(axis=(1, 2, 3)).all()
    assert any((shots[a] == shots[b].transpose(1, 0, 2)).all() for a in range(6) for b in range(a))


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


@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
def test_an_engine_that_counts_padding_is_refused(
    exported: dict[str, Path],
    query_graph: TowerGraph,
    product_graph: TowerGraph,
    rows: list[Sample],
    tmp_path: Path,
    tower: str,
) -> None:
    graph = {"query_tower": query_graph, "product_tower": product_graph}[tower]
    error = refused(graph, count_padding(exported[tower], tmp_path / "broken.onnx"), rows)
    short = {row.name for row in rows if len(row.ids) < 12 and (row.has_text or tower == "query_tower")}
    assert error.value
    assert set(error.value) <= short  # type: ignore[arg-type]


def test_a_tower_that_pools_over_padding_is_refused_though_the_engine_copies_it_well(
    query_graph: TowerGraph, rows: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towers.text_encoder.masked_mean", lambda hidden, _: hidden.mean(dim=1))
    export_onnx(query_graph, tmp_path / "pooled.onnx")
    error = refused(query_graph, tmp_path / "pooled.onnx", rows)
    assert measured(error)["minimum_cosine"] > 0.99999
    assert measured(error)["minimum_cosine_alone"] < 0.99
    monkeypatch.undo()
    assert measured(refused(query_graph, tmp_path / "pooled.onnx", rows))["minimum_cosine"] < 0.99


def test_an_engine_with_swapped_colours_is_refused_by_the_coloured_pictures(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    error = refused(product_graph, swap_colours(exported["product_tower"], tmp_path / "bgr.onnx"), rows)
    grey = {row.name for row in rows if (row.pixels == row.pixels[..., ::-1]).all()}
    assert error.value
    assert set(error.value).isdisjoint(grey)  # type: ignore[arg-type]


@pytest.mark.parametrize("output", ["product_embedding", "modality_weights"])
def test_an_engine_that_answers_nan_for_some_rows_is_refused(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path, output: str
) -> None:
    path = nan_for_long_texts(exported["product_tower"], tmp_path / "nan.onnx", output, tokens=12)
    error = refused(product_graph, path, rows)
    assert set(error.value) == {row.name for row in rows if len(row.ids) == 12}  # type: ignore[arg-type]


def test_an_engine_with_other_modality_weights_is_refused(
    exported: dict[str, Path], product_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    path = disturb(exported["product_tower"], tmp_path / "weights.onnx", "modality_weights", by=0.001)
    found = measured(refused(product_graph, path, rows))
    assert found["minimum_cosine"] > 0.99999
    assert found["largest_weight_difference"] == pytest.approx(0.001, rel=0.02)


def test_a_small_drift_of_every_vector_is_refused(
    exported: dict[str, Path], query_graph: TowerGraph, rows: list[Sample], tmp_path: Path
) -> None:
    path = disturb(exported["query_tower"], tmp_path / "drift.onnx", "query_embedding", by=0.05)
    refused(query_graph, path, rows)


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
    found = measured(refused(gossip, tmp_path / "gossip.onnx", rows))
    assert found["minimum_cosine"] > 0.99999
    assert found["minimum_cosine_alone"] < 0.9999
