"""What a search is narrowed by, as small values that nest.

A product without a value for the field satisfies no ``AnyOf``, ``Range`` or ``Equals``, and every
``NoneOf``. Which fields there are and what fits them is the gateway's to say: it names the one at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = ["AllHold", "AnyHolds", "AnyOf", "Equals", "Filter", "NoneOf", "Not", "Range", "filter_message"]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field is one of the values: ``AnyOf("color", ["red", "blue"])``."""

    field: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The field is none of the values."""

    field: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Range:
    """The number lies between the ends, both included; an end that is None is open."""

    field: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Equals:
    """The truth value is this one: ``Equals("in_stock", True)``."""

    field: str
    value: bool


@dataclass(frozen=True, slots=True)
class AnyHolds:
    """At least one of the filters holds."""

    filters: Sequence[Filter]


@dataclass(frozen=True, slots=True)
class AllHold:
    """Every one of the filters holds. The filters of a search are joined so by themselves."""

    filters: Sequence[Filter]


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not hold."""

    filter: Filter


Filter = AnyOf | NoneOf | Range | Equals | AnyHolds | AllHold | Not | pb.Filter
"""A condition; whoever has protobuf messages may give those."""


def filter_message(given: Filter) -> pb.Filter:
    """Returns the filter as the gateway reads it."""
    match given:
        case AnyOf(field, values):
            return pb.Filter(field=field, any_of=pb.Values(values=values))
        case NoneOf(field, values):
            return pb.Filter(field=field, none_of=pb.Values(values=values))
        case Range(field, minimum, maximum):
            return pb.Filter(field=field, range=pb.Range(minimum=minimum, maximum=maximum))
        case Equals(field, value):
            message = pb.Filter(field=field)
            setattr(message, "is", value)  # a keyword in Python, as is "not"
            return message
        case AnyHolds(filters):
            return pb.Filter(any=_messages(filters))
        case AllHold(filters):
            return pb.Filter(all=_messages(filters))
        case Not(inner):
            message = pb.Filter()
            getattr(message, "not").CopyFrom(filter_message(inner))
            return message
        case pb.Filter():
            return given


def _messages(filters: Sequence[Filter]) -> pb.Filters:
    return pb.Filters(filters=[filter_message(one) for one in filters])
