"""Bounds that every request is held to before anything in it is looked at.

Requests are read on the event loop: what one caller makes it read, all others wait for. So a message
is measured as a whole, and what repeats is counted.
"""

from __future__ import annotations

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = ["DEFAULT_K", "at_most", "checked_k", "refuse_bulk"]

DEFAULT_K = 10
_MOST_OTHER_BYTES = 64 * 1024
"""Of a request without its words and its picture, which have settings of their own."""


def refuse_bulk(request: pb.SearchRequest | pb.SearchSimilarRequest, text: str, picture: bytes) -> None:
    """Refuses a request that is large beside its words and its picture."""
    rest = request.ByteSize() - len(picture) - len(text.encode())
    at_most(_MOST_OTHER_BYTES, rest, "bytes beside words and picture", "request")


def at_most(most: int, count: int, what: str, field: str) -> None:
    """Refuses more than ``most`` of something.

    Raises:
        InvalidInput: there are more.
    """
    if count > most:
        raise InvalidInput(f"too many {what}", field=field, value=count, fix=f"Send at most {most}.")


def checked_k(request: pb.SearchRequest | pb.SearchSimilarRequest, most: int) -> int:
    """Returns how many products are wanted.

    Raises:
        InvalidInput: none, or more than ``most``.
    """
    if not request.HasField("k"):
        return min(DEFAULT_K, most)
    if not 1 <= request.k <= most:
        raise InvalidInput("out of range", field="k", value=request.k, fix=f"Give 1 to {most}.")
    return request.k
