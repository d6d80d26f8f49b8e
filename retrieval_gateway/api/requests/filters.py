"""Filters of a request to checked conditions, with the path to what is wrong: ``filters[1].not.any_of``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests.bounds import at_most
from retrieval_gateway.index.filters import (
    MOST_LEVELS,
    AllHold,
    AnyHolds,
    AnyOf,
    Condition,
    Equals,
    Filter,
    NoneOf,
    Not,
    Range,
)

__all__ = ["checked_filter"]

_MOST_FILTERS = 32
_MOST_VALUES = 1000
_NESTING = ("any", "all", "not")
_KINDS = "any_of, none_of, range, is, any, all or not"


def checked_filter(given: Sequence[pb.Filter]) -> Filter:
    """Checks a request's filters, all of which must hold.

    Raises:
        InvalidInput: too many, too deep, or one that does not fit its field; its path is named.
    """
    at_most(_MOST_FILTERS, sum(map(_filters_in, given)), "filters", "filters")
    at_most(_MOST_VALUES, sum(map(_values_in, given)), "values", "filters")
    return Filter(tuple(_condition(one, f"filters[{place}]", 1) for place, one in enumerate(given)))


def _children(given: pb.Filter) -> Sequence[pb.Filter]:
    kind = given.WhichOneof("condition")
    if kind == "not":
        return [getattr(given, "not")]
    return getattr(given, kind).filters if kind in _NESTING else ()


def _filters_in(given: pb.Filter) -> int:
    return 1 + sum(map(_filters_in, _children(given)))


def _values_in(given: pb.Filter) -> int:
    return len(given.any_of.values) + len(given.none_of.values) + sum(map(_values_in, _children(given)))


def _condition(given: pb.Filter, where: str, depth: int) -> Condition:
    kind = given.WhichOneof("condition")
    if kind is None:
        raise InvalidInput("no condition", field=where, value=given.field, fix=f"Give {_KINDS}.")
    if kind in _NESTING:
        return _nested(given, kind, where, depth)
    try:
        return _simple(given, kind, where)
    except InvalidInput as error:
        if error.field.startswith(where):
            raise
        # The filter knows its own field only; say which of the request's filters it is, and which part.
        part = "field" if error.field == "filter" else kind
        raise InvalidInput(
            error.problem, field=f"{where}.{part}", value=error.value, fix=error.fix
        ) from error


def _nested(given: pb.Filter, kind: str, where: str, depth: int) -> Condition:
    if depth > MOST_LEVELS:
        raise InvalidInput(
            "any, all and not within each other are too deep",
            field=where,
            value=f"level {depth}",
            fix=f"Nest at most {MOST_LEVELS}.",
        )
    if given.field:
        raise InvalidInput(
            f"{kind} stands instead of a field and a condition",
            field=f"{where}.field",
            value=given.field,
            fix="Leave the field out.",
        )
    if kind == "not":
        return Not(Filter((_condition(getattr(given, "not"), f"{where}.not", depth + 1),)))
    filters = getattr(given, kind).filters
    if not filters:
        raise InvalidInput("no filters", field=f"{where}.{kind}", fix="Give at least one, or leave it out.")
    parts = tuple(
        Filter((_condition(one, f"{where}.{kind}[{place}]", depth + 1),)) for place, one in enumerate(filters)
    )
    return AnyHolds(parts) if kind == "any" else AllHold(parts)


def _simple(given: pb.Filter, kind: str, where: str) -> Condition:
    if kind == "any_of":
        return AnyOf(given.field, _values(given.any_of, f"{where}.any_of"))
    if kind == "none_of":
        return NoneOf(given.field, _values(given.none_of, f"{where}.none_of"))
    if kind == "range":
        return _range(given, where)
    return Equals(given.field, getattr(given, "is"))


def _values(values: pb.Values, where: str) -> tuple[str, ...]:
    if not values.values:
        raise InvalidInput("no values", field=where, fix="Give at least one value, or leave the filter out.")
    return tuple(values.values)


def _range(given: pb.Filter, where: str) -> Range:
    minimum = given.range.minimum if given.range.HasField("minimum") else None
    maximum = given.range.maximum if given.range.HasField("maximum") else None
    ends = [end for end in (minimum, maximum) if end is not None]
    if not ends or not all(math.isfinite(end) for end in ends):
        raise InvalidInput(
            "needs a finite minimum, maximum or both",
            field=f"{where}.range",
            value=ends,
            fix="Give a number.",
        )
    if minimum is not None and maximum is not None and minimum > maximum:
        raise InvalidInput(
            "the minimum is above the maximum",
            field=f"{where}.range",
            value=(minimum, maximum),
            fix="Swap them.",
        )
    return Range(given.field, minimum, maximum)
