"""One log line a request, where it is wanted; what a shopper typed only where that is wanted as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import grpc
import structlog
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from faults import VitrineError
from retrieval_gateway.api.generated import release_service_pb2, retrieval_service_pb2
from retrieval_gateway.security.token_bucket import TokenBucket

log = structlog.get_logger(__name__)

Logged = Literal["none", "failures", "all"]

_LINES_A_SECOND, _BURST = 20.0, 100.0
"""Of failures: when Triton is away every request is one, and the log must not become the next bottleneck."""
_QUIET = (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED)
_OURS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_REQUESTS = {
    method.name: method.input_type
    for file in (retrieval_service_pb2, release_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that was answered, one way or the other."""

    rpc: str
    code: grpc.StatusCode
    seconds: float
    caller: str
    raw: bytes
    error: BaseException | None


class RequestLog:
    """Logs requests as they end.

    Args:
        logged: which of them; a caller who hung up is no failure, and our bugs are always logged.
        queries: log the request's words beside, and values in errors.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        logged: Logged = "failures",
        *,
        queries: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logged = logged
        self._queries = queries
        self._bucket = TokenBucket(_LINES_A_SECOND, _BURST, clock)
        self._left_out = 0

    def ended(self, request: Ended) -> None:
        """Logs a request, or not."""
        bug = request.code is grpc.StatusCode.INTERNAL
        if self._logged != "all":
            if not bug and (self._logged == "none" or request.code in _QUIET):
                return
            if self._bucket.take():
                self._left_out += 1
                return
        write = log.warning if request.code in _OURS else log.info
        write("request", **self._fields(request), **({"exc_info": request.error} if bug else {}))

    def _fields(self, request: Ended) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "rpc": request.rpc,
            "code": request.code.name,
            "ms": round(1000 * request.seconds, 2),
        }
        if request.caller:
            fields["caller"] = request.caller
        if self._left_out:
            fields["left_out_before"], self._left_out = self._left_out, 0
        if isinstance(request.error, VitrineError):
            fields["reason"] = request.error.reason
            fields["field"] = request.error.field
            fields["problem"] = str(request.error) if self._queries else request.error.problem
        if self._queries:
            fields["words"] = words_of(request.rpc, request.raw)
        return fields


def words_of(rpc: str, raw: bytes) -> list[str]:
    """Returns every text of a request, in the order of its fields; none if it cannot be read."""
    try:
        message = message_factory.GetMessageClass(_REQUESTS[rpc]).FromString(raw)
    except (KeyError, DecodeError):
        return []
    return list(_texts(message))


def _texts(message: Message) -> Iterable[str]:
    for field, value in message.ListFields():
        items = value if field.is_repeated else [value]
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from items
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in items:
                yield from _texts(item)
