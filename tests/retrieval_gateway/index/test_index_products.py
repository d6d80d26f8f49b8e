"""The product table: ids to rows, rows to fields, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_builders import SHOP, shop_table

import faults
from retrieval_gateway.index import ProductTable, write_product_table
from retrieval_gateway.index import product_lookup as lookup


def test_ids_and_rows(tmp_path: Path) -> None:
    table = shop_table(tmp_path)
    assert len(table) == 5
    assert [table.row_of(product_id) for product_id in SHOP["product_id"]] == [0, 1, 2, 3, 4]
    assert table.row_of("Tee") is None
    assert table.row_of("") is None
    assert table.ids(np.array([3, 0, 3])) == ["chip", "tee", "chip"]
    assert table.ids(np.array([], np.int64)) == []


def test_fields_say_missing_in_one_way(tmp_path: Path) -> None:
    table = shop_table(tmp_path)
    rows = np.array([1, 4, 2])
    assert table.fields(rows, ["description", "brand", "price", "in_stock", "supplier", "text_weight"]) == {
        "description": ["", "", "fast"],
        "brand": ["  LUMA", "", "Straße"],
        "price": [80.5, None, 1200.0],
        "in_stock": [False, None, True],
        "supplier": ["", "", ""],
        "text_weight": [0.5, 0.0, 0.75],
    }


def test_unknown_fields_list_the_known_ones(tmp_path: Path) -> None:
    table = shop_table(tmp_path)
    with pytest.raises(faults.InvalidInput, match=r"colour.*title, description"):
        table.fields(np.array([0]), ["title", "colour"])
    with pytest.raises(faults.InvalidInput, match="lookup_hash"):
        table.fields(np.array([0]), ["lookup_hash"])
    with pytest.raises(faults.InternalError):
        table.ids(np.array([5]))


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"title": ["a"]}, "product_id"),
        ({"product_id": ["a", "b"], "title": ["x"]}, "title"),
        ({"product_id": ["a", "b", "a"]}, r"rows 0 and 2.*'a'"),
        ({"product_id": ["a", ""]}, "no id"),
        ({"product_id": ["a"], "cost": [1]}, "cost"),
        ({"product_id": ["a"], "price": ["cheap"]}, "price"),
        ({"product_id": ["a"], "brand": ["\ud800"]}, "brand"),
    ],
)
def test_bad_columns_are_named_and_nothing_is_written(
    tmp_path: Path, columns: dict[str, Any], named: str
) -> None:
    with pytest.raises(faults.InvalidInput, match=named):
        write_product_table(tmp_path / "products.arrow", columns)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=30),
    bits=st.integers(0, 64),
)
def test_every_id_is_found_even_when_hashes_collide(ids: list[str], bits: int) -> None:
    real = lookup.hash_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "hash_id", lambda product_id: real(product_id) & (2**bits - 1))
        hashes, rows = lookup.lookup_columns(ids)
        for row, product_id in enumerate(ids):
            assert lookup.find_row(product_id, hashes, rows, ids.__getitem__) == row
        assert lookup.find_row("\x00 not there", hashes, rows, ids.__getitem__) is None


@pytest.mark.parametrize("size", [0, 7, 200, 2000])
def test_a_torn_table_is_a_storage_failure(tmp_path: Path, size: int) -> None:
    shop_table(tmp_path)
    path = tmp_path / "products.arrow"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(faults.StorageFailed, match="copy the release again"):
        ProductTable(path)


def test_another_table_is_a_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "products.arrow"
    with pytest.raises(faults.NotFound):
        ProductTable(path)
    other = pa.table({"product_id": ["a"]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(faults.Mismatch, match="publish the release again"):
        ProductTable(path)
