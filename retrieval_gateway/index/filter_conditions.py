"""Conditions on one product field, as small values that can be compared and hashed.

A condition puts itself into one normal form when it is made (values normalised like all text of
ours, sorted, without repeats), so that two requests that mean the same are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import faults
from catalog.text import normalise_text

__all__ = [
    "FILTER_FIELDS",
    "PATH_SEPARATOR",
    "AnyOf",
    "Equals",
    "FieldCondition",
    "NoneOf",
    "Range",
    "normalise_value",
]

_WORD_FIELDS = ("category", "subcategory", "brand", "color", "supplier", "style_group")
_NUMBER_FIELDS = ("price",)
_TRUTH_FIELDS = ("in_stock",)
FILTER_FIELDS = (*_WORD_FIELDS, *_NUMBER_FIELDS, *_TRUTH_FIELDS)
PATH_SEPARATOR = ">"


def normalise_value(value: str) -> str:
    """Returns the form in which words are compared; ``Men>Tops`` and ``men > tops`` are one."""
    if PATH_SEPARATOR not in value:
        return normalise_text(value)
    return f" {PATH_SEPARATOR} ".join(normalise_text(part) for part in value.split(PATH_SEPARATOR))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field is one of the values."""

    field: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_field(self.field, _WORD_FIELDS, "any of")
        object.__setattr__(self, "values", _normal_values(self.field, self.values))


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The field is none of the values; a missing field is none of them."""

    field: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_field(self.field, _WORD_FIELDS, "none of")
        object.__setattr__(self, "values", _normal_values(self.field, self.values))


@dataclass(frozen=True, slots=True)
class Range:
    """The number lies between the bounds, both included; None leaves a side open."""

    field: str
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        _check_field(self.field, _NUMBER_FIELDS, "a range")
        bounds = [float(bound) for bound in (self.minimum, self.maximum) if bound is not None]
        if not bounds or any(math.isnan(bound) for bound in bounds) or bounds != sorted(bounds):
            raise faults.InvalidInput(
                "a range needs at least one bound, and the lower one first",
                field=self.field,
                value=(self.minimum, self.maximum),
                fix="minimum <= maximum; leave out the side that is open.",
            )
        for name in ("minimum", "maximum"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # -0.0 becomes 0.0


@dataclass(frozen=True, slots=True)
class Equals:
    """The truth value is this one."""

    field: str
    value: bool

    def __post_init__(self) -> None:
        _check_field(self.field, _TRUTH_FIELDS, "true or false")


FieldCondition = AnyOf | NoneOf | Range | Equals


def _check_field(field: str, suitable: tuple[str, ...], what: str) -> None:
    if field not in FILTER_FIELDS:
        raise faults.InvalidInput(
            "no such filter field", field="filter", value=field, fix=f"one of {', '.join(FILTER_FIELDS)}."
        )
    if field not in suitable:
        raise faults.InvalidInput(
            f"this field cannot be filtered by {what}",
            field="filter",
            value=field,
            fix=f"{what} fits {', '.join(suitable)}.",
        )


def _normal_values(field: str, values: tuple[str, ...]) -> tuple[str, ...]:
    normal = tuple(sorted({normalise_value(value) for value in values}))
    if not normal or "" in normal:
        raise faults.InvalidInput(
            "an empty value can match nothing: a missing field satisfies no positive condition",
            field=field,
            value=values,
            fix="name at least one value, and no empty one.",
        )
    return normal
