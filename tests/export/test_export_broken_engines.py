"""Five engines that must never be published, each through the whole export with both gates.

What broke them are real mishaps: an average that counts padding, half precision without islands, a
decoder that yields BGR, a tokenizer from another release, and scales that depend on the batch.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.broken_engines import (
    blow_up_embeddings,
    count_padding,
    dynamic_int8,
    overflow_in_fp16,
    swap_colours,
)

from catalog.tokenizer import train_tokenizer
from export import workshop
from export.onnx_export import TowerGraph
from export.pipeline import export_checkpoint
from export.workshop import ExportJob
from faults import GateFailed

Damage = Callable[[Path, Path], Path]


@pytest.fixture
def export_as(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Damage], None]:
    """Replaces the export by the session's files, one of them damaged."""

    def use(tower: str, damage: Damage) -> None:
        def export(graph: TowerGraph, path: Path) -> None:
            (damage if graph.name == tower else shutil.copyfile)(exported[graph.name], path)

        monkeypatch.setattr(workshop, "export_onnx", export)

    return use


def refused(job: ExportJob) -> GateFailed:
    with pytest.raises(GateFailed) as caught:
        export_checkpoint(job)
    assert not job.repository.exists()  # nothing was published
    assert caught.value.value
    return caught.value


def test_the_same_way_publishes_sound_engines(job: ExportJob, export_as) -> None:
    export_as("query_tower", shutil.copyfile)
    assert len(export_checkpoint(job)) == 2


@pytest.mark.parametrize("tower", ["query_tower", "product_tower"])
def test_pooling_over_padding(job: ExportJob, export_as, tower: str) -> None:
    export_as(tower, count_padding)
    error = refused(job)
    assert error.field == f"numbers of {tower}"
    assert "minimum_cosine_in_company" in error.problem


def test_fp16_overflow(job: ExportJob, export_as, monkeypatch: pytest.MonkeyPatch) -> None:
    half = replace(job, target="onnxruntime", precision="fp16")
    export_as("query_tower", blow_up_embeddings)
    assert export_checkpoint(half)  # the same huge numbers with fp32 islands
    export_as("query_tower", shutil.copyfile)
    monkeypatch.setattr(workshop, "convert", lambda source, _, path, __: overflow_in_fp16(source, path))
    error = refused(replace(half, repository=job.repository.with_name("other")))
    assert error.field == "weights of query_tower"
    assert "NaN or infinity" in error.problem


def test_swapped_colour_channels(job: ExportJob, export_as) -> None:
    export_as("product_tower", swap_colours)
    error = refused(job)
    assert error.field == "numbers of product_tower"
    assert isinstance(error.value, list)
    assert not any("black" in name or "white" in name or "grey" in name for name in error.value)


def test_a_tokenizer_of_another_release(job: ExportJob, export_as, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines are sound; the file beside them gives other ids for the same words."""
    export_as("query_tower", shutil.copyfile)
    other = train_tokenizer(["blue mugs, red lamps and white chairs of other makers"], 300)

    class OfAnotherRelease:
        from_file = staticmethod(lambda _: other)

    monkeypatch.setattr(workshop, "Tokenizer", OfAnotherRelease)
    refused(job)


def test_dynamic_int8(job: ExportJob, export_as, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "convert", lambda source, _, path, __: dynamic_int8(source, path))
    export_as("query_tower", shutil.copyfile)
    error = refused(replace(job, precision="int8"))
    assert "minimum_cosine_in_company" in error.problem
