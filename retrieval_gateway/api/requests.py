"""Requests to checked queries; every refusal names the field, the value and the fix."""

from __future__ import annotations

import math

from catalog.text import normalise_text
from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.filters import AnyOf, Condition, Equals, Filter, NoneOf, Range
from retrieval_gateway.index.product_fields import FIELDS
from retrieval_gateway.query import LikeProduct, Picture, SearchQuery, Subject, Words
from retrieval_gateway.settings import GatewaySettings

DEFAULT_K = 10

# Requests are read on the event loop: what one caller makes it read, all others wait for.
_MOST_FILTERS = 32
_MOST_VALUES = 1000
_MOST_OTHER_BYTES = 64 * 1024
"""Of a request without its words and its picture, which have settings of their own."""


def search_query(request: pb.SearchRequest, settings: GatewaySettings) -> SearchQuery:
    """Checks a request against the settings' limits.

    Raises:
        InvalidInput: a field is missing, contradictory, unknown or out of bounds.
    """
    _refuse_bulk(request)
    return SearchQuery(
        subject=_subject(request.query, settings),
        k=_k(request, settings.max_k),
        filter=Filter(tuple(_condition(place, given) for place, given in enumerate(request.filters))),
        fields=_fields(request),
        bypass_cache=request.bypass_cache,
    )


def _refuse_bulk(request: pb.SearchRequest) -> None:
    rest = request.ByteSize() - len(request.query.picture) - len(request.query.text.encode())
    _at_most(_MOST_OTHER_BYTES, rest, "bytes beside words and picture", "request")
    _at_most(_MOST_FILTERS, len(request.filters), "filters", "filters")
    values = sum(len(given.any_of.values) + len(given.none_of.values) for given in request.filters)
    _at_most(_MOST_VALUES, values, "values", "filters")


def _at_most(most: int, count: int, what: str, field: str) -> None:
    if count > most:
        raise InvalidInput(f"too many {what}", field=field, value=count, fix=f"Send at most {most}.")


def _subject(query: pb.Query, settings: GatewaySettings) -> Subject:
    given = [name for name in ("text", "picture", "product_id") if getattr(query, name)]
    if not given:
        raise InvalidInput("empty query", field="query", fix="Give words (text), a picture or a product_id.")
    if len(given) > 1:
        raise InvalidInput("more than one kind of query", field="query", value=given, fix="Give exactly one.")
    if given == ["picture"]:
        return _picture(query.picture, settings.max_picture_bytes)
    if given == ["product_id"]:
        return LikeProduct(query.product_id)
    return _words(query.text, settings.max_query_characters)


def _words(text: str, longest: int) -> Words:
    if len(text) > longest:
        raise InvalidInput(
            f"{len(text)} characters are too many",
            field="query.text",
            value=text,
            fix=f"Give at most {longest}.",
        )
    words = normalise_text(text)
    if not words:
        raise InvalidInput(
            "nothing but white space or invisible characters",
            field="query.text",
            value=text,
            fix="Give words.",
        )
    return Words(words)


def _picture(data: bytes, most: int) -> Picture:
    if len(data) > most:
        raise InvalidInput(
            "the file is too large",
            field="query.picture",
            value=f"{len(data)} bytes",
            fix=f"Send at most {most} bytes.",
        )
    return Picture(data)


def _k(request: pb.SearchRequest, most: int) -> int:
    if not request.HasField("k"):
        return min(DEFAULT_K, most)
    if not 1 <= request.k <= most:
        raise InvalidInput("out of range", field="k", value=request.k, fix=f"Give 1 to {most}.")
    return request.k


def _fields(request: pb.SearchRequest) -> tuple[str, ...]:
    for place, name in enumerate(request.fields):
        if name not in FIELDS:
            raise InvalidInput(
                "unknown product field",
                field=f"fields[{place}]",
                value=name,
                fix=f"Use {', '.join(FIELDS)}.",
            )
    return tuple(dict.fromkeys(request.fields))


def _condition(place: int, given: pb.Filter) -> Condition:
    where = f"filters[{place}]"
    kind = given.WhichOneof("condition")
    try:
        if kind == "any_of":
            return AnyOf(given.field, _values(given.any_of, f"{where}.any_of"))
        if kind == "none_of":
            return NoneOf(given.field, _values(given.none_of, f"{where}.none_of"))
        if kind == "range":
            return _range(given, where)
        if kind == "is":
            return Equals(given.field, getattr(given, "is"))
    except InvalidInput as error:
        if error.field.startswith(where):
            raise
        # The filter knows its own field only; say which of the request's filters it is, and which part.
        part = "field" if error.field == "filter" else kind
        raise InvalidInput(
            error.problem, field=f"{where}.{part}", value=error.value, fix=error.fix
        ) from error
    raise InvalidInput(
        "no condition", field=where, value=given.field, fix="Give any_of, none_of, range or is."
    )


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
