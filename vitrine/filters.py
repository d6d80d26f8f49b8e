"""Filters as one types them: ``color=Red|Blue``, ``brand!=Luma``, ``price=10..50``, ``in_stock=true``."""

from __future__ import annotations

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

_FLAGS = {"true": True, "yes": True, "false": False, "no": False}


def parse_filter(text: str) -> pb.Filter:
    """Parses one ``--filter``.

    Raises:
        InvalidInput: it has none of the four forms. Unknown fields are the gateway's to refuse.
    """
    name, sign, given = text.partition("=")
    field, value = name.strip(), given.strip()
    if not sign or not field.rstrip("!") or not value:
        raise _bad(text)
    if field.endswith("!"):
        return pb.Filter(field=field[:-1].strip(), none_of=pb.Values(values=value.split("|")))
    if field == "in_stock":
        if value.lower() not in _FLAGS:
            raise _bad(text)
        flag = pb.Filter(field=field)
        setattr(flag, "is", _FLAGS[value.lower()])  # a keyword in Python
        return flag
    if field == "price":
        return pb.Filter(field=field, range=_range(value, text))
    return pb.Filter(field=field, any_of=pb.Values(values=value.split("|")))


def _range(value: str, text: str) -> pb.Range:
    low, dots, high = value.partition("..")
    try:
        if not dots:
            return pb.Range(minimum=float(value), maximum=float(value))
        return pb.Range(minimum=float(low) if low else None, maximum=float(high) if high else None)
    except ValueError as error:
        raise _bad(text) from error


def _bad(text: str) -> InvalidInput:
    return InvalidInput(
        "not a filter",
        field="--filter",
        value=text,
        fix="Write color=Red|Blue, brand!=Luma, price=10..50, price=..50 or in_stock=true.",
    )
