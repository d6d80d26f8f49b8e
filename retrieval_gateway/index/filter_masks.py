"""Filters to masks over rows, and the few masks that are in use kept ready.

Words are stored as numbers into a list of distinct values, so a filter looks at each distinct
value once and then at one number a product: a million products take milliseconds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval_gateway.index.filters import (
    PATH_SEPARATOR,
    AllHold,
    AnyHolds,
    AnyOf,
    Condition,
    Equals,
    Filter,
    NoneOf,
    Not,
    Range,
    normalise_value,
)
from retrieval_gateway.index.product_table import ProductTable

__all__ = ["FilterMasks", "compile_filter"]

_DEFAULT_BYTES = 64 * 2**20
_MOST_MASKS = 1024
"""The filters themselves take room too, in a small catalogue more than their masks."""


def compile_filter(wanted: Filter, table: ProductTable) -> NDArray[np.bool_]:
    """Returns bool [N]: the rows of the table that satisfy all conditions."""
    mask = np.ones(len(table), np.bool_)
    for condition in wanted.conditions:
        mask &= _compile(condition, table)
    return mask


class FilterMasks:
    """The masks of one release, the least recently used dropped first. Any thread may ask.

    Args:
        table: the release's product table.
        max_bytes: memory for masks, one byte a product each; the newest is kept in any case.
    """

    def __init__(self, table: ProductTable, max_bytes: int = _DEFAULT_BYTES) -> None:
        self._table = table
        self._room = min(_MOST_MASKS, max(1, max_bytes // max(1, len(table))))
        self._masks: OrderedDict[Filter, NDArray[np.bool_]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._masks)

    def mask(self, wanted: Filter) -> NDArray[np.bool_] | None:
        """Returns bool [N], read-only, or None for the filter that keeps everything."""
        if not wanted:
            return None
        with self._lock:
            if wanted in self._masks:
                self._masks.move_to_end(wanted)
                return self._masks[wanted]
        # Outside the lock: a slow filter must not hold up the others; two may compile the same.
        mask = compile_filter(wanted, self._table)
        mask.setflags(write=False)
        with self._lock:
            self._masks[wanted] = mask
            self._masks.move_to_end(wanted)
            while len(self._masks) > self._room:
                self._masks.popitem(last=False)
        return mask


def _compile(condition: Condition, table: ProductTable) -> NDArray[np.bool_]:
    match condition:
        case AnyOf():
            return _words(table, condition.field, condition.values)
        case NoneOf():
            return ~_words(table, condition.field, condition.values)
        case Range():
            return _between(table.column(condition.field), condition)
        case Equals():
            return _to_mask(pc.equal(table.column(condition.field), pa.scalar(condition.value)))
        case AnyHolds():
            return reduce(or_, (compile_filter(given, table) for given in condition.filters))
        case AllHold():
            return reduce(and_, (compile_filter(given, table) for given in condition.filters))
        case Not():
            return ~compile_filter(condition.filter, table)


def _words(table: ProductTable, field: str, values: tuple[str, ...]) -> NDArray[np.bool_]:
    wanted = frozenset(values)
    mask = _where(table.column(field), lambda word: normalise_value(word) in wanted)
    if field == "category":
        mask |= _where(table.column("subcategory"), lambda path: not wanted.isdisjoint(_labels(path)))
    return mask


def _where(column: Any, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Asks once for each distinct word; a missing one gives False."""
    answers = pa.array([holds(word) for word in column.dictionary.to_pylist()], pa.bool_())
    return _to_mask(pc.take(answers, column.indices))


def _labels(path: str) -> Iterator[str]:
    """Yields every leading path and every part of ``Men > Tops > Tees``, normalised."""
    parts = normalise_value(path).split(f" {PATH_SEPARATOR} ")
    for depth, part in enumerate(parts, start=1):
        yield part
        yield f" {PATH_SEPARATOR} ".join(parts[:depth])


def _between(column: Any, bounds: Range) -> NDArray[np.bool_]:
    mask = pc.is_valid(column)
    if bounds.minimum is not None:
        mask = pc.and_kleene(mask, pc.greater_equal(column, bounds.minimum))
    if bounds.maximum is not None:
        mask = pc.and_kleene(mask, pc.less_equal(column, bounds.maximum))
    return _to_mask(mask)


def _to_mask(answers: Any) -> NDArray[np.bool_]:
    """Arrow's three-valued answers to bool [N]: unknown is False."""
    mask: NDArray[np.bool_] = pc.fill_null(answers, False).to_numpy(zero_copy_only=False)
    return mask
