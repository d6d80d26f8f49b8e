"""Filters: the rule for missing values above all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from index_builders import SHOP, shop_table

import faults
from retrieval_gateway.index import (
    AnyOf,
    Condition,
    Equals,
    Filter,
    FilterMasks,
    NoneOf,
    ProductTable,
    Range,
    compile_filter,
)


@pytest.fixture
def table(tmp_path: Path) -> ProductTable:
    return shop_table(tmp_path)


def kept(table: ProductTable, *conditions: Condition) -> list[str]:
    return table.ids(np.flatnonzero(compile_filter(Filter(conditions), table)))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (AnyOf("brand", ("luma",)), ["tee", "jacket"]),
        (AnyOf("brand", ("STRASSE", "nobody")), ["bike"]),
        (NoneOf("brand", ("Luma",)), ["bike", "chip", "ghost"]),
        (AnyOf("color", ("red",)), ["tee", "bike"]),
        (NoneOf("color", ("red",)), ["jacket", "chip", "ghost"]),
        (AnyOf("supplier", ("anyone",)), []),
        (NoneOf("supplier", ("anyone",)), SHOP["product_id"]),
        (AnyOf("style_group", ("S2", "s4")), ["jacket", "chip"]),
        (AnyOf("category", ("Apparel",)), ["tee", "jacket"]),
        (AnyOf("category", ("tops",)), ["tee", "jacket"]),
        (AnyOf("category", ("men",)), ["tee"]),
        (AnyOf("category", ("women > tops",)), ["jacket"]),
        (AnyOf("category", ("Women>Tops>Jackets",)), ["jacket"]),
        (AnyOf("category", ("tops > tees",)), []),
        (AnyOf("category", ("bikes", "generic IC")), ["bike", "chip"]),
        (NoneOf("category", ("tops",)), ["bike", "chip", "ghost"]),
        (AnyOf("subcategory", ("women > tops > jackets",)), ["jacket"]),
        (AnyOf("subcategory", ("tops",)), []),
        (Range("price", minimum=20.0), ["tee", "jacket", "bike"]),
        (Range("price", maximum=80.5), ["tee", "jacket"]),
        (Range("price", 20.01, 1199), ["jacket"]),
        (Range("price", maximum=float("inf")), ["tee", "jacket", "bike"]),
        (Equals("in_stock", True), ["tee", "bike"]),
        (Equals("in_stock", False), ["jacket"]),
    ],
)
def test_one_condition(table: ProductTable, condition: Condition, expected: list[str]) -> None:
    assert kept(table, condition) == expected


def test_all_conditions_must_hold(table: ProductTable) -> None:
    assert kept(table, AnyOf("color", ("red",)), Range("price", maximum=100)) == ["tee"]
    assert kept(table) == SHOP["product_id"]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: AnyOf("colour", ("red",)), r"colour.*one of category, .*in_stock"),
        (lambda: AnyOf("title", ("red",)), r"title.*one of"),
        (lambda: AnyOf("price", ("20",)), r"any of.*price.*category"),
        (lambda: NoneOf("in_stock", ("yes",)), "in_stock"),
        (lambda: Range("brand", 1, 2), r"range.*brand.*price"),
        (lambda: Equals("brand", True), r"brand.*in_stock"),
        (lambda: AnyOf("brand", ()), "brand"),
        (lambda: AnyOf("brand", ("Luma", " ")), "brand"),
        (lambda: Range("price"), "at least one bound"),
        (lambda: Range("price", 2, 1), "lower one first"),
        (lambda: Range("price", float("nan"), 1), "price"),
    ],
)
def test_bad_conditions_are_refused_when_made(make: Callable[[], Condition], named: str) -> None:
    with pytest.raises(faults.InvalidInput, match=named):
        make()


def test_filters_that_mean_the_same_are_the_same() -> None:
    one = Filter((AnyOf("brand", ("LUMA", "b")), Range("price", 0, 5)))
    same = Filter((Range("price", -0.0, 5.0), AnyOf("brand", ("b", "luma", " luma "))))
    assert one == same
    assert hash(one) == hash(same)
    assert one.key_parts() == same.key_parts()
    assert Filter((NoneOf("brand", ("b",)),)).key_parts() != Filter((AnyOf("brand", ("b",)),)).key_parts()


def test_masks_are_kept_up_to_their_bytes(table: ProductTable) -> None:
    masks = FilterMasks(table, max_bytes=2 * len(table))
    red, blue, luma = (
        Filter((AnyOf(f, (v,)),)) for f, v in (("color", "red"), ("color", "blue"), ("brand", "luma"))
    )
    first = masks.mask(red)
    assert masks.mask(red) is first
    masks.mask(blue)
    assert masks.mask(red) is first  # now blue is the least recently used
    masks.mask(luma)
    assert len(masks) == 2
    assert masks.mask(red) is first
    assert masks.mask(Filter()) is None
    assert first is not None
    assert not first.flags.writeable


def test_the_masks_of_a_small_catalogue_are_bounded_in_number_too(table: ProductTable) -> None:
    masks = FilterMasks(table)
    for number in range(1500):
        masks.mask(Filter((Range("price", number),)))
    assert len(masks) < 1500
