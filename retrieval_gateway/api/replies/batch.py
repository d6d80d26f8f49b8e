"""Answers of a stream: a unary reply wrapped as it is, or an error as a message."""

from __future__ import annotations

from google.rpc import error_details_pb2

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.status import status_of

__all__ = ["batch_error", "batch_item"]

_LENGTH_DELIMITED = 2
_NUMBERS = {
    name: pb.BatchSearchResponse.DESCRIPTOR.fields_by_name[name].number
    for name in ("search", "search_similar")
}


def batch_item(request_id: int, name: str, reply: bytes) -> bytes:
    """Wraps a serialised reply without reading it, so that a cached one goes out as it was stored.

    Args:
        request_id: of the request.
        name: ``search`` or ``search_similar``.
        reply: its body and trailer; protobuf merges them inside a field as well.
    """
    tag = _NUMBERS[name] << 3 | _LENGTH_DELIMITED
    head = pb.BatchSearchResponse(request_id=request_id).SerializeToString()
    return head + bytes([tag]) + _varint(len(reply)) + reply


def batch_error(request_id: int, error: BaseException) -> bytes:
    """Serialises why one request of a stream failed: what a unary call would say in its status."""
    status = status_of(error)
    item = pb.BatchSearchError(code=status.code, message=status.message)
    for detail in status.details:
        info, bad, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(info):
            item.reason = info.reason
        elif detail.Unpack(bad):
            item.field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            item.retry_after_ms = retry.retry_delay.ToMilliseconds()
    return pb.BatchSearchResponse(request_id=request_id, error=item).SerializeToString()


def _varint(number: int) -> bytes:
    """Protobuf's variable-length integer: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
