"""What a shopper may narrow a search by: conditions on fields, and any, all and not of them.

A ``Filter`` is a conjunction. It puts itself into one normal form when it is made, so that two
requests that mean the same share a mask and a cache entry: ``AllHold`` is dissolved, ``AnyHolds`` within
``AnyHolds`` becomes one, and ``Not`` moves inwards by De Morgan's laws until it is gone (``NoneOf`` for
``AnyOf``) or stands before a single ``Range`` or ``Equals``; what remains is sorted, without repeats.

**Missing values** (empty or absent) satisfy no positive condition and every negated one:
``brand is not Luma`` keeps the product without a brand, ``brand is Luma`` and ``price <= 20`` do
not keep what has none. Each condition is thereby true or false of each product, and ``Not`` is the
complement: ``Not(price <= 20)`` keeps what has no price, ``Not(color any of red)`` is ``color none of red``,
``Not(Not(x))`` is ``x`` again and keeps nothing that is missing, and ``Not(AnyHolds(a, b))`` keeps what is
missing in both a and b.

**category** matches the category column, and also every leading path and every part of the
subcategory: a product of category ``Apparel`` and subcategory ``Men > Tops > Tees`` is found by
``apparel``, ``men``, ``men > tops``, ``men > tops > tees``, ``tops`` and ``tees``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import faults
from retrieval_gateway.index.filter_conditions import (
    FILTER_FIELDS,
    PATH_SEPARATOR,
    AnyOf,
    Equals,
    FieldCondition,
    NoneOf,
    Range,
    normalise_value,
)

__all__ = [
    "FILTER_FIELDS",
    "MOST_LEVELS",
    "PATH_SEPARATOR",
    "AllHold",
    "AnyHolds",
    "AnyOf",
    "Condition",
    "Equals",
    "Filter",
    "NoneOf",
    "Not",
    "Range",
    "normalise_value",
]

MOST_LEVELS = 8
"""Nothing that a person asks for nests deeper; a machine that sends more has a loop."""

KeyParts: TypeAlias = tuple["str | KeyParts", ...]


@dataclass(frozen=True, slots=True)
class AnyHolds:
    """At least one of the filters holds."""

    filters: tuple[Filter, ...]

    def __post_init__(self) -> None:
        _check_nested("any", self.filters)


@dataclass(frozen=True, slots=True)
class AllHold:
    """All of the filters hold; within ``Not`` and ``AnyHolds`` this is what groups."""

    filters: tuple[Filter, ...]

    def __post_init__(self) -> None:
        _check_nested("all", self.filters)


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not hold: the complement of its products."""

    filter: Filter

    def __post_init__(self) -> None:
        _check_nested("not", (self.filter,))


Condition = FieldCondition | AnyHolds | AllHold | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """All conditions hold. ``Filter()`` keeps everything.

    Raises:
        faults.InvalidInput: the conditions nest deeper than ``MOST_LEVELS``.
    """

    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if (levels := max(map(_levels, self.conditions), default=0)) > MOST_LEVELS:
            raise faults.InvalidInput(
                "the filters nest too deep",
                field="filter",
                value=f"{levels} levels",
                fix=f"nest any, all and not at most {MOST_LEVELS} deep.",
            )
        normal = {part for condition in self.conditions for part in _conjuncts(condition)}
        object.__setattr__(self, "conditions", tuple(sorted(normal, key=repr)))

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def key_parts(self) -> KeyParts:
        """Returns the filter as nested strings for a cache key; equal filters give equal parts."""
        return tuple(_key_parts(condition) for condition in self.conditions)


def _check_nested(name: str, filters: tuple[Filter, ...]) -> None:
    if not filters or not all(filters):
        raise faults.InvalidInput(
            "an empty filter cannot be nested: it would keep everything",
            field="filter",
            value=name,
            fix=f"give {name} at least one filter, each with a condition.",
        )


def _levels(condition: Condition) -> int:
    match condition:
        case AnyHolds() | AllHold():
            within = condition.filters
        case Not():
            within = (condition.filter,)
        case _:
            return 0
    return 1 + max(_levels(part) for given in within for part in given.conditions)


def _conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """Returns conditions in normal form that hold together exactly where this one does."""
    match condition:
        case AllHold():
            return tuple(part for given in condition.filters for part in given.conditions)
        case AnyHolds():
            return _any_of(condition.filters)
        case Not():
            return _negated(condition.filter.conditions)
        case _:
            return (condition,)


def _any_of(filters: tuple[Filter, ...]) -> tuple[Condition, ...]:
    alternatives: set[Filter] = set()
    for given in filters:
        match given.conditions:
            case (AnyHolds() as nested,):
                alternatives.update(nested.filters)
            case _:
                alternatives.add(given)
    if len(alternatives) == 1:
        return alternatives.pop().conditions
    return (AnyHolds(tuple(sorted(alternatives, key=repr))),)


def _negated(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Returns the complement of a conjunction that is in normal form."""
    if len(conditions) > 1:
        return _any_of(tuple(Filter(_negated((condition,))) for condition in conditions))
    match conditions[0]:
        case AnyOf(field, values):
            return (NoneOf(field, values),)
        case NoneOf(field, values):
            return (AnyOf(field, values),)
        case Not(given):
            return given.conditions
        case AnyHolds(filters):
            return tuple(part for given in filters for part in _negated(given.conditions))
        case single:
            return (Not(Filter((single,))),)


def _key_parts(condition: Condition) -> KeyParts:
    name = type(condition).__name__
    match condition:
        case AnyOf() | NoneOf():
            return (name, condition.field, *condition.values)
        case Range():
            return (name, condition.field, repr(condition.minimum), repr(condition.maximum))
        case Equals():
            return (name, condition.field, repr(condition.value))
        case AnyHolds() | AllHold():
            return (name, *(given.key_parts() for given in condition.filters))
        case Not():
            return (name, condition.filter.key_parts())
