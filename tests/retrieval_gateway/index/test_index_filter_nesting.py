"""Any, all and not: what they mean, for missing values above all, and that equal filters are one."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_builders import SHOP, shop_table

import faults
from retrieval_gateway.cache.key import encode_parts
from retrieval_gateway.index import (
    AllHold,
    AnyHolds,
    AnyOf,
    Condition,
    Equals,
    Filter,
    NoneOf,
    Not,
    ProductTable,
    Range,
    compile_filter,
)
from retrieval_gateway.index.filters import MOST_LEVELS

CHEAP, RED, LUMA = Range("price", maximum=50), AnyOf("color", ("red",)), AnyOf("brand", ("luma",))
STOCKED = Equals("in_stock", True)


def of(*conditions: Condition) -> Filter:
    return Filter(conditions)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ProductTable:
    return shop_table(tmp_path_factory.mktemp("shop"))


def kept(table: ProductTable, *conditions: Condition) -> list[str]:
    return table.ids(np.flatnonzero(compile_filter(Filter(conditions), table)))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # Missing: price, in_stock and brand of chip and ghost; color of jacket, chip and ghost.
        (Not(of(CHEAP)), ["jacket", "bike", "chip", "ghost"]),
        (Not(of(RED)), ["jacket", "chip", "ghost"]),
        (Not(of(STOCKED)), ["jacket", "chip", "ghost"]),
        (Not(of(Equals("in_stock", False))), ["tee", "bike", "chip", "ghost"]),
        (Not(of(NoneOf("color", ("red",)))), ["tee", "bike"]),
        (Not(of(Not(of(CHEAP)))), ["tee"]),
        (Not(of(Not(of(Not(of(RED)))))), ["jacket", "chip", "ghost"]),
        (Not(of(AnyHolds((of(RED), of(LUMA))))), ["chip", "ghost"]),
        (Not(of(RED, LUMA)), ["jacket", "bike", "chip", "ghost"]),
        (Not(of(Not(of(RED)), CHEAP)), SHOP["product_id"]),
        (AnyHolds((of(RED), of(LUMA))), ["tee", "jacket", "bike"]),
        (AnyHolds((of(RED, CHEAP), of(Not(of(LUMA)), STOCKED))), ["tee", "bike"]),
        (AllHold((of(RED), of(CHEAP))), ["tee"]),
        (AllHold((of(RED), of(AnyHolds((of(CHEAP), of(STOCKED)))))), ["tee", "bike"]),
    ],
)
def test_nested_conditions(table: ProductTable, condition: Condition, expected: list[str]) -> None:
    assert kept(table, condition) == expected


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (AllHold((of(RED), of(CHEAP, LUMA))), AllHold((of(LUMA), of(CHEAP), of(RED)))),
        (AnyHolds((of(RED), of(LUMA))), AnyHolds((of(LUMA), of(RED), of(AnyOf("brand", (" LUMA",)))))),
        (AnyHolds((of(RED), of(AnyHolds((of(LUMA), of(CHEAP)))))), AnyHolds((of(CHEAP), of(LUMA), of(RED)))),
        (AnyHolds((of(RED),)), RED),
        (AllHold((of(RED),)), RED),
        (Not(of(RED)), NoneOf("color", ("red",))),
        (Not(of(Not(of(CHEAP)))), CHEAP),
        (
            Not(of(AnyHolds((of(RED), of(CHEAP))))),
            AllHold((of(Not(of(CHEAP))), of(NoneOf("color", ("red",))))),
        ),
        (Not(of(RED, STOCKED)), AnyHolds((of(Not(of(STOCKED))), of(Not(of(RED)))))),
    ],
)
def test_filters_that_mean_the_same_are_the_same(one: Condition, same: Condition) -> None:
    assert of(one) == of(same)
    assert hash(of(one)) == hash(of(same))
    assert encode_parts(of(one).key_parts()) == encode_parts(of(same).key_parts())


def test_filters_that_mean_something_else_have_other_keys() -> None:
    different: tuple[Condition, ...] = (
        *(RED, CHEAP, Not(of(RED)), Not(of(CHEAP)), Not(of(STOCKED)), Not(of(Equals("in_stock", False)))),
        *(AnyHolds((of(RED), of(CHEAP))), AllHold((of(RED), of(CHEAP))), Not(of(RED, CHEAP))),
        *(AnyHolds((of(RED, CHEAP), of(LUMA))), AnyHolds((of(RED), of(CHEAP, LUMA)))),
    )
    assert len({encode_parts(of(condition).key_parts()) for condition in different}) == len(different)


LEAVES: st.SearchStrategy[Condition] = st.sampled_from(
    [RED, CHEAP, LUMA, STOCKED, NoneOf("brand", ("luma", "straße")), Range("price", 20.0, 100.0)]
)


def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    filters = st.lists(
        st.lists(inner, min_size=1, max_size=3).map(lambda found: of(*found)), min_size=1, max_size=3
    )
    return st.one_of(
        filters.map(lambda found: AnyHolds(tuple(found))),
        filters.map(lambda found: AllHold(tuple(found))),
        filters.map(lambda found: Not(found[0])),
    )


CONDITIONS = st.recursive(LEAVES, nested, max_leaves=8)


def holds(condition: Condition, row: int) -> bool:
    """The meaning, read off the definitions, product by product."""
    match condition:
        case AnyOf(field, values):
            return (SHOP[field][row] or "").strip().casefold() in {value.casefold() for value in values}
        case NoneOf(field, values):
            return not holds(AnyOf(field, values), row)
        case Range(field, minimum, maximum):
            price = SHOP[field][row]
            return price is not None and (minimum or -np.inf) <= price <= (maximum or np.inf)
        case Equals(field, value):
            return SHOP[field][row] is value
        case AnyHolds(filters):
            return any(all(holds(part, row) for part in given.conditions) for given in filters)
        case AllHold(filters):
            return all(all(holds(part, row) for part in given.conditions) for given in filters)
        case Not(given):
            return not all(holds(part, row) for part in given.conditions)


@settings(max_examples=60, deadline=None)
@given(conditions=st.lists(CONDITIONS, max_size=3))
def test_the_normal_form_keeps_the_meaning(table: ProductTable, conditions: list[Condition]) -> None:
    expected = [all(holds(condition, row) for condition in conditions) for row in range(len(table))]
    assert compile_filter(of(*conditions), table).tolist() == expected


def written_otherwise(condition: Condition, chance: random.Random) -> Condition:
    """The same condition with everything shuffled, some of it repeated, some of it negated twice."""

    def again(given: Filter) -> Filter:
        parts = [written_otherwise(part, chance) for part in given.conditions]
        return of(*chance.sample(parts, len(parts)), chance.choice(parts))

    match condition:
        case AnyHolds(filters):
            condition = AnyHolds(tuple(again(given) for given in chance.sample(filters, len(filters))))
        case AllHold(filters):
            condition = AllHold(tuple(again(given) for given in chance.sample(filters, len(filters))))
        case Not(given):
            condition = Not(again(given))
    return chance.choice((condition, AllHold((of(condition),)), Not(of(Not(of(condition))))))


@settings(max_examples=60, deadline=None)
@given(condition=CONDITIONS, chance=st.randoms(use_true_random=False))
def test_order_repeats_and_double_negation_do_not_matter(condition: Condition, chance: random.Random) -> None:
    assert of(written_otherwise(condition, chance)) == of(condition)


def alternating(levels: int) -> Filter:
    """Any within all within any, each time with something beside it, so that nothing dissolves."""
    current = of(RED)
    for level in range(levels):
        current = of(AnyHolds((current, of(LUMA if level % 2 else CHEAP))), Range("price", float(level)))
    return current


def test_nesting_is_bounded() -> None:
    assert len(alternating(MOST_LEVELS).conditions) == 2
    with pytest.raises(faults.InvalidInput, match=rf"{MOST_LEVELS + 1} levels.*at most {MOST_LEVELS}"):
        alternating(MOST_LEVELS + 1)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: AnyHolds(()), "give any at least one"),
        (lambda: AllHold(()), "give all at least one"),
        (lambda: AnyHolds((of(RED), Filter())), "each with a condition"),
        (lambda: Not(Filter()), "give not at least one"),
    ],
)
def test_what_is_empty_cannot_be_nested(make: Callable[[], Condition], named: str) -> None:
    with pytest.raises(faults.InvalidInput, match=named):
        make()
