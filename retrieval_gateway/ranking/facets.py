"""Counts of one field's values over a ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FACET_FIELDS", "FacetCounts", "count_values"]

FACET_FIELDS = ("category", "subcategory", "brand", "color", "supplier", "style_group", "in_stock")
"""Fields whose values repeat."""


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """How often each value occurs.

    Attributes:
        field: the product field.
        values: most frequent first, equally frequent ones by name; ``true`` and ``false`` for truth values.
        counts: of each value.
        missing: products without a value.
        of: products that were counted.
    """

    field: str
    values: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int
    of: int


def count_values(field: str, values: Sequence[str | bool | None]) -> FacetCounts:
    """Counts the values of one field, one a product; "" and None are missing."""
    counts = Counter(_name(value) for value in values if value is not None and value != "")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return FacetCounts(
        field=field,
        values=tuple(value for value, _ in ordered),
        counts=tuple(count for _, count in ordered),
        missing=len(values) - counts.total(),
        of=len(values),
    )


def _name(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value
