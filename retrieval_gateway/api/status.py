"""The one place where our errors become gRPC statuses, with google.rpc details."""

from __future__ import annotations

import re

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from faults import (
    CatalogueError,
    DeadlineExceeded,
    GateFailed,
    InvalidInput,
    Mismatch,
    NotFound,
    NotPermitted,
    Occupied,
    OperationalError,
    Overloaded,
    StorageFailed,
    Unauthenticated,
    Unavailable,
    VitrineError,
)
from retrieval_gateway import trace_context

DOMAIN = "vitrine.retrieval.v1"
_LONGEST_NAME = 256
"""A status travels in a header, and gRPC throws away one of more than 16 KB, our answer with it."""

_WHERE = re.compile(
    r"\w+://\S+|ipv[46]:\S+|(?:\[[\da-f:]+\]|[\w.-]+):\d{2,5}\b|\b\d+(?:\.\d+){3}\b|(?<![\w.])/[\w.+-]+(?:/[\w.+-]*)*"
)
"""Addresses and paths: where our surroundings are is the log's affair, not the callers'."""

# The first class in the list that an error is an instance of decides.
_CODES: tuple[tuple[type[VitrineError], grpc.StatusCode], ...] = (
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (CatalogueError, grpc.StatusCode.INVALID_ARGUMENT),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (NotPermitted, grpc.StatusCode.PERMISSION_DENIED),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (Mismatch, grpc.StatusCode.FAILED_PRECONDITION),
    (GateFailed, grpc.StatusCode.FAILED_PRECONDITION),
    (Occupied, grpc.StatusCode.FAILED_PRECONDITION),
    (Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    (StorageFailed, grpc.StatusCode.UNAVAILABLE),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
)


def code_of(error: BaseException) -> grpc.StatusCode:
    """Returns the status code for an error; INTERNAL for whatever is not ours."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def status_of(error: BaseException) -> status_pb2.Status:
    """Returns the google.rpc.Status for an error.

    An error that is not ours, or is our bug, says nothing of its inside to the caller but the trace id
    by which the log has it; one of our surroundings does not say where they are.
    """
    code = code_of(error)
    number = code_pb2.Code.Value(code.name)
    if not isinstance(error, VitrineError) or code is grpc.StatusCode.INTERNAL:
        return status_pb2.Status(
            code=number,
            message="internal error; the gateway's log has the details",
            details=[_packed(detail) for detail in _bug()],
        )
    message = _WHERE.sub("[withheld]", str(error)) if isinstance(error, OperationalError) else str(error)
    return status_pb2.Status(code=number, message=message, details=[_packed(d) for d in _details(error)])


def _bug() -> list[Message]:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN)]
    trace = trace_context.current.get()
    if trace is not None:
        details.append(error_details_pb2.RequestInfo(request_id=trace.trace_id))
    return details


def _details(error: VitrineError) -> list[Message]:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, InvalidInput) and error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, NotFound) and error.field:
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.field,
                resource_name=str(error.value)[:_LONGEST_NAME],
                description=error.problem,
            )
        )
    if isinstance(error, OperationalError) and error.retry_after_s > 0:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(1000 * error.retry_after_s))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
