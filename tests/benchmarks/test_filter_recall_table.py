"""The recall benchmark itself, on a collection small enough to check by eye."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.filter_recall import __main__ as command
from benchmarks.filter_recall import table
from benchmarks.filter_recall.collection import FILTERS, make_collection
from benchmarks.filter_recall.recall import Case, measure
from retrieval_gateway.index import IndexSpec, Neighbours, build_index

SMALL = make_collection(1_500, 16, queries=6)


def test_a_collection_is_decided_by_its_seed() -> None:
    again = make_collection(1_500, 16, queries=6)
    np.testing.assert_array_equal(again.vectors, SMALL.vectors)
    np.testing.assert_array_equal(again.queries, SMALL.queries)
    assert not np.array_equal(make_collection(1_500, 16, queries=6, seed=1).vectors, SMALL.vectors)
    np.testing.assert_allclose(np.linalg.norm(SMALL.vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_allows_as_many_rows_as_it_is_told(name: str) -> None:
    rows = FILTERS[name](SMALL, 150, np.random.default_rng(0))
    assert len(np.unique(rows)) == 150


def test_the_hard_filters_follow_the_vectors() -> None:
    rows = FILTERS["whole kinds"](SMALL, 150, np.random.default_rng(0))
    assert len(np.unique(SMALL.kinds[rows])) < 10
    rows = FILTERS["one side"](SMALL, 150, np.random.default_rng(0))
    spread = np.linalg.norm(SMALL.vectors[rows].mean(axis=0))
    assert spread > 2 * np.linalg.norm(SMALL.vectors.mean(axis=0))


@dataclasses.dataclass
class Forgetful:
    """An index that leaves the last tenth of its answer out."""

    count: int = 1_500
    kind: str = "forgetful"

    def search(self, queries, k, allowed=None):  # type: ignore[no-untyped-def]
        found = build_index(SMALL.vectors).search(queries, k, allowed)
        kept = np.arange(k) < k * 9 // 10
        return Neighbours(np.where(kept, found.rows, -1), np.where(kept, found.scores, -np.inf))


def test_what_an_index_loses_is_counted() -> None:
    cases = [Case("none", 1.0, 10), Case("independent", 0.01, 20)]  # 15 rows are allowed in the second
    exact, lossy = (
        list(measure([index], SMALL, cases))  # type: ignore[list-item]
        for index in (build_index(SMALL.vectors, IndexSpec("flat")), Forgetful())
    )
    assert [(row.recall, row.worst, row.full) for row in exact] == [(1.0, 1.0, True)] * 2
    assert [(round(row.recall, 6), row.full) for row in lossy] == [(0.9, False), (1.0, True)]


def test_the_command_prints_and_keeps_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "index.md"
    document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(command, "DOCUMENT", document)
    monkeypatch.setattr("benchmarks.filter_recall.overhead._ROUNDS", 2)
    small = ["--vectors", "1500", "--dim", "16", "--queries", "4"]
    assert command.main(small) == 0
    capsys.readouterr()
    assert command.main([*small, "--overhead"]) == 0  # keeps the first table
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text  # noqa: PT018
    assert "| whole kinds | 0.1% | 10 | 1.0000 | 1.000 |" in text
    assert "| 1,500 x 16 | 1 |" in text
    assert text.count("|---") > 2
    shown = capsys.readouterr().out
    assert shown.strip() in text

    monkeypatch.setattr(command, "DOCUMENT", tmp_path / "none.md")
    assert command.main([*small, "--no-write"]) == 0
    assert not (tmp_path / "none.md").exists()


def test_the_document_has_its_markers() -> None:
    assert table.BEGIN in (command.ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="needs the lines"):
        table.updated("no markers", {})
