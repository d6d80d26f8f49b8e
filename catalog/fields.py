"""Cells to values: each rule about one column of the products file, in one place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from catalog.complaints import refuse_if_any

__all__ = ["MalformedError", "attributes_of", "convert", "count_of", "flag_of", "price_of", "text_of"]

Value = TypeVar("Value")

_TRUE = frozenset({"true", "1", "yes", "y", "t"})
_FALSE = frozenset({"false", "0", "no", "n", "f"})


class MalformedError(ValueError):
    """A cell that does not hold what its column promises; turned into a counted complaint."""


def convert(
    cells: Sequence[object],
    rule: Callable[[object], Value],
    *,
    row_names: Sequence[str],
    what: str,
    where: str,
    fix: str,
) -> list[Value]:
    """Applies ``rule`` to every cell.

    Raises:
        CatalogueError: some cells are malformed; counted, with the names of up to five rows.
    """
    values: list[Value] = []
    wrong: list[str] = []
    for name, cell in zip(row_names, cells, strict=True):
        try:
            values.append(rule(cell))
        except MalformedError:
            wrong.append(name)
    refuse_if_any(wrong, what=what, where=where, fix=fix)
    return values


def text_of(cell: object) -> str:
    """Returns the cell as text; a null is empty."""
    return "" if cell is None else str(cell)


def price_of(cell: object) -> float | None:
    """Returns a price; null, NaN and blank mean that there is none."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        price = float(str(cell))
    except ValueError as error:
        raise MalformedError from error
    if math.isnan(price):
        return None
    if math.isinf(price) or price < 0:
        raise MalformedError
    return price


def flag_of(cell: object) -> bool | None:
    """Returns true or false; null, NaN and blank mean that it is not known."""
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, float) and math.isnan(cell):
        return None
    word = str(cell).strip().lower().removesuffix(".0")
    if not word:
        return None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise MalformedError


def count_of(cell: object) -> int:
    """Returns a whole number that is not negative."""
    try:
        number = float(str(cell))
    except ValueError as error:
        raise MalformedError from error
    if not number.is_integer() or number < 0:
        raise MalformedError
    return int(number)


def attributes_of(cell: object) -> Mapping[str, object]:
    """Returns the object that the JSON text holds; null and blank mean none."""
    if isinstance(cell, dict):  # a Parquet struct column says the same without the JSON
        return {str(name): value for name, value in cell.items() if value is not None}
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return {}
    try:
        value = json.loads(str(cell))
    except (ValueError, RecursionError) as error:
        raise MalformedError from error
    if not isinstance(value, dict):
        raise MalformedError
    return value
