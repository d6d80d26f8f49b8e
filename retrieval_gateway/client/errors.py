"""Failed calls as our errors: the mirror of ``retrieval_gateway.api.status``."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import faults
from faults import DeadlineExceeded, InternalError, Mismatch, OperationalError, Unavailable, VitrineError
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = ["fault_of", "fault_of_item", "never_sent"]

_KINDS: list[type[VitrineError]] = [getattr(faults, name) for name in faults.__all__]
_BY_REASON = {kind.reason: kind for kind in _KINDS if kind is not VitrineError}

_BY_CODE: dict[grpc.StatusCode, type[VitrineError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: faults.InvalidInput,
    grpc.StatusCode.UNAUTHENTICATED: faults.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: faults.NotPermitted,
    grpc.StatusCode.NOT_FOUND: faults.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Mismatch,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    # We never cancel a call that somebody waits for: a gateway that is stopped cancels what it still runs.
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: faults.Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
"""For what does not come from a gateway of ours, and for reasons that a newer one knows."""

_NOT_CONNECTED = ("failed to connect to all addresses", "connections to all backends failing")
"""What gRPC's load balancing policies say when they had no connection to send a call over."""


def never_sent(error: grpc.RpcError) -> bool:
    """Tells whether the call surely did not leave this process: there was no gateway to send it to."""
    call: Any = error
    text = call.details() or ""
    return call.code() is grpc.StatusCode.UNAVAILABLE and text.startswith(_NOT_CONNECTED)


def fault_of(error: grpc.RpcError, where: str) -> VitrineError:
    """Returns our error for a failed call: the message as sent, its field, and when to retry.

    Args:
        error: what a stub raised.
        where: the gateway's address, for errors that no gateway sent.
    """
    call: Any = error  # what stubs raise is an error and a call at once
    status = rpc_status.from_call(call)
    code, message = call.code(), call.details() or ""
    if status is not None:
        return _sent(status, _BY_CODE.get(code, InternalError))
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unavailable(
            f"no gateway answers: {message}",
            field="address",
            value=where,
            fix="Start one with `make serve`, or name its address.",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(
            "no answer in time", field="timeout_s", fix="Give more time, or ask for less."
        )
    return _made(_BY_CODE.get(code, InternalError), f"{code.name}: {message}", "", 0.0)


def fault_of_item(error: pb.BatchSearchError) -> VitrineError:
    """Returns our error for one request of a batch that failed."""
    by_number = {code.value[0]: kind for code, kind in _BY_CODE.items()}
    kind = _BY_REASON.get(error.reason) or by_number.get(error.code, InternalError)
    return _made(kind, error.message, error.field, error.retry_after_ms / 1000)


def _sent(status: status_pb2.Status, by_code: type[VitrineError]) -> VitrineError:
    info = _detail(status, error_details_pb2.ErrorInfo())
    bad = _detail(status, error_details_pb2.BadRequest())
    resource = _detail(status, error_details_pb2.ResourceInfo())
    retry = _detail(status, error_details_pb2.RetryInfo())
    field = bad.field_violations[0].field if bad.field_violations else resource.resource_type
    retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    return _made(_BY_REASON.get(info.reason, by_code), status.message, field, retry_after_s)


def _detail(status: status_pb2.Status, empty: Any) -> Any:
    """Fills ``empty`` from the detail of its type; leaves it empty where there is none."""
    for detail in status.details:
        if detail.Unpack(empty):
            break
    return empty


def _made(kind: type[VitrineError], message: str, field: str, retry_after_s: float) -> VitrineError:
    """Makes a fault of a message that has field, value and fix in it already."""
    fault = kind.__new__(kind)
    VitrineError.__init__(fault, message)
    fault.field = field
    if isinstance(fault, OperationalError):
        fault.retry_after_s = retry_after_s
    if isinstance(fault, Mismatch):  # the message has both values in words
        fault.expected = fault.found = None
    return fault
