"""What a request asks for: words, a picture, both, a product or a vector, checked."""

from __future__ import annotations

import numpy as np

from catalog.text import normalise_text
from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests.numbers import within
from retrieval_gateway.query import (
    GivenVector,
    LikeProduct,
    Picture,
    Subject,
    Without,
    Words,
    WordsAndPicture,
)
from retrieval_gateway.settings import GatewaySettings

__all__ = ["checked_picture", "checked_subject", "checked_text", "checked_without"]

_HALF = 0.5
_MOST_WITHOUT = 2.0


def checked_subject(query: pb.Query, settings: GatewaySettings) -> Subject:
    """Returns what to look for.

    Raises:
        InvalidInput: nothing, several things at once, or something that no release could answer.
    """
    given = [name for name in ("text", "picture", "product_id", "vector") if getattr(query, name)]
    if not given:
        raise InvalidInput(
            "empty query", field="query", fix="Give words (text), a picture, both, a product_id or a vector."
        )
    if len(given) > 1 and given != ["text", "picture"]:
        raise InvalidInput(
            "more than one kind of query",
            field="query",
            value=given,
            fix="Give exactly one, or text and picture.",
        )
    if given[0] == "product_id":
        return LikeProduct(query.product_id)
    if given[0] == "vector":
        return _vector(query)
    if given == ["picture"]:
        return Picture(checked_picture(query.picture, settings, "query.picture"))
    words = checked_text(query.text, settings, "query.text")
    if given == ["text"]:
        return Words(words)
    picture = checked_picture(query.picture, settings, "query.picture")
    return WordsAndPicture(words, picture, _picture_weight(query))


def checked_without(query: pb.Query, settings: GatewaySettings) -> Without | None:
    """Returns what to keep away from; None for nothing, also where its weight is 0."""
    if not query.without:
        return None
    weight = within(query, "without_weight", 0.0, _MOST_WITHOUT, "query.without_weight")
    text = checked_text(query.without, settings, "query.without")
    if weight == 0:
        return None
    return Without(text, _HALF if weight is None else weight)


def checked_text(text: str, settings: GatewaySettings, field: str) -> str:
    """Returns words, normalised.

    Raises:
        InvalidInput: too long, or nothing that one can see.
    """
    if len(text) > settings.max_query_characters:
        raise InvalidInput(
            f"{len(text)} characters are too many",
            field=field,
            value=text,
            fix=f"Give at most {settings.max_query_characters}.",
        )
    words = normalise_text(text)
    if not words:
        raise InvalidInput(
            "nothing but white space or invisible characters", field=field, value=text, fix="Give words."
        )
    return words


def checked_picture(data: bytes, settings: GatewaySettings, field: str) -> bytes:
    """Returns a picture's file, not yet decoded; refuses one of too many bytes."""
    if len(data) > settings.max_picture_bytes:
        raise InvalidInput(
            "the file is too large",
            field=field,
            value=f"{len(data)} bytes",
            fix=f"Send at most {settings.max_picture_bytes} bytes.",
        )
    return data


def _picture_weight(query: pb.Query) -> float | None:
    """Returns the picture's share; None where both go through the product tower together."""
    weight = within(query, "picture_weight", 0.0, 1.0, "query.picture_weight")
    if query.mixing == pb.MIXING_JOINT:
        if weight is not None:
            raise InvalidInput(
                "the product tower weighs words and picture itself",
                field="query.picture_weight",
                value=weight,
                fix="Leave it out, or ask for MIXING_ARITHMETIC.",
            )
        return None
    if query.mixing not in (pb.MIXING_UNSPECIFIED, pb.MIXING_ARITHMETIC):
        raise InvalidInput(
            "unknown mixing",
            field="query.mixing",
            value=query.mixing,
            fix="Use MIXING_ARITHMETIC or MIXING_JOINT.",
        )
    return _HALF if weight is None else weight


def _vector(query: pb.Query) -> GivenVector:
    numbers = np.array(query.vector, dtype="<f4")
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InvalidInput(
            "not a finite number",
            field=f"query.vector[{place}]",
            value=float(numbers[place]),
            fix="Give finite numbers.",
        )
    if not numbers.any():
        raise InvalidInput(
            "all numbers are 0: such a vector points nowhere",
            field="query.vector",
            fix="Give another vector.",
        )
    return GivenVector(numbers.tobytes())
