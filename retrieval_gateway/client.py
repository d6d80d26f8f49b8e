"""A small synchronous client: deadlines by default, errors as ours."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from faults import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    NotFound,
    NotPermitted,
    OperationalError,
    Overloaded,
    Unavailable,
    VitrineError,
)
from retrieval_gateway.api.generated import (
    release_service_pb2,
    release_service_pb2_grpc,
    retrieval_service_pb2,
    retrieval_service_pb2_grpc,
)

_ERRORS: dict[grpc.StatusCode, type[VitrineError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
_LARGEST_REPLY = 64 * 2**20

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class RetrievalClient:
    """One channel to one gateway; safe to use from several threads.

    Args:
        address: ``host:port`` of the gateway.
        timeout_s: deadline of every call.
    """

    def __init__(self, address: str, timeout_s: float = 5.0) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", _LARGEST_REPLY),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ],
        )
        self._retrieval = retrieval_service_pb2_grpc.RetrievalServiceStub(self._channel)
        self._releases = release_service_pb2_grpc.ReleaseServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> RetrievalClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def search(
        self,
        text: str = "",
        *,
        picture: bytes = b"",
        product_id: str = "",
        k: int | None = None,
        filters: Sequence[retrieval_service_pb2.Filter] = (),
        fields: Sequence[str] = (),
        bypass_cache: bool = False,
    ) -> retrieval_service_pb2.SearchResponse:
        """Searches by words, by picture or by product; give exactly one of them.

        Raises:
            InvalidInput, NotFound, Unavailable, Overloaded, DeadlineExceeded: as the gateway says.
        """
        request = retrieval_service_pb2.SearchRequest(
            query=retrieval_service_pb2.Query(text=text, picture=picture, product_id=product_id),
            k=k,
            filters=filters,
            fields=fields,
            bypass_cache=bypass_cache,
        )
        return self._call(self._retrieval.Search, request)

    def releases(self) -> list[release_service_pb2.Release]:
        """Returns the releases of the gateway's store, newest first."""
        request = release_service_pb2.ListReleasesRequest()
        return list(self._call(self._releases.ListReleases, request).releases)

    def ready(self) -> bool:
        """Returns whether the gateway says that it would answer a search; False where it is not there."""
        try:
            reply = self._health.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        except grpc.RpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def listening(self) -> bool:
        """Returns whether there is a gateway at all, ready or not."""
        try:
            self._health.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.UNAVAILABLE
        return True

    def _call(self, method: grpc.UnaryUnaryMultiCallable[Request, Reply], request: Request) -> Reply:
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise fault_of(error, self.address) from error


def fault_of(error: grpc.RpcError, address: str) -> VitrineError:
    """Turns a failed call into our error: the message as sent, and when to retry where it was said."""
    call: Any = error  # what stubs raise is an error and a call at once
    status = rpc_status.from_call(call)
    code, message = call.code(), call.details() or ""
    if status is None and code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(
            f"no gateway answers: {message}",
            field="address",
            value=address,
            fix="Start one with `make serve`, or name its address.",
            retry_after_s=1.0,
        )
    kind = _ERRORS.get(code, InternalError)
    if issubclass(kind, OperationalError):
        return kind(message, retry_after_s=_retry_after_s(status))
    return kind(message)


def _retry_after_s(status: Any) -> float:
    for detail in status.details if status is not None else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return 0.0
