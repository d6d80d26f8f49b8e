"""The table of docs/index.md, smaller: 100,000 vectors, filters independent of them and the hard kinds."""

from __future__ import annotations

import pytest

from benchmarks.filter_recall.collection import make_collection
from benchmarks.filter_recall.recall import CASES, measure
from retrieval_gateway.index import IndexSpec, build_index


@pytest.mark.services
def test_filters_and_depth_are_exact_enough_on_a_hundred_thousand_vectors() -> None:
    collection = make_collection(100_000, 64, queries=24)
    indexes = [build_index(collection.vectors, IndexSpec("flat")), build_index(collection.vectors)]
    assert [index.kind for index in indexes] == ["flat", "ivf_sq8"]
    rows = list(measure(indexes, collection))
    assert len(rows) == 2 * len(CASES)
    assert [row for row in rows if not row.full] == []
    assert [row for row in rows if row.recall < (1.0 if row.index == "flat" else 0.98)] == []
