"""Errors to statuses: every kind of error has its code, its details, and room in a header."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

import faults
from retrieval_gateway import trace_context
from retrieval_gateway.api.status import DOMAIN, code_of, status_of

Code = grpc.StatusCode
SAID = {"field": "k", "value": 0, "fix": "Give more."}
CODES = {
    faults.InvalidInput: Code.INVALID_ARGUMENT,
    faults.CatalogueError: Code.INVALID_ARGUMENT,
    faults.Unauthenticated: Code.UNAUTHENTICATED,
    faults.NotPermitted: Code.PERMISSION_DENIED,
    faults.NotFound: Code.NOT_FOUND,
    faults.Mismatch: Code.FAILED_PRECONDITION,
    faults.GateFailed: Code.FAILED_PRECONDITION,
    faults.Occupied: Code.FAILED_PRECONDITION,
    faults.Unavailable: Code.UNAVAILABLE,
    faults.StorageFailed: Code.UNAVAILABLE,
    faults.Overloaded: Code.RESOURCE_EXHAUSTED,
    faults.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    faults.InternalError: Code.INTERNAL,
}
ABSTRACT = {faults.VitrineError, faults.UserError, faults.OperationalError}


def made(kind: type[faults.VitrineError]) -> faults.VitrineError:
    if kind is faults.Mismatch:
        return faults.Mismatch("dim", expected=8, found=9, fix="Make it again.")
    return kind("is wrong", **SAID)


def details(error: BaseException) -> dict:
    found = {}
    for packed in status_of(error).details:
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        found[kind.__name__] = kind.FromString(packed.value)
    return found


def test_every_kind_of_error_is_mapped():
    kinds = {getattr(faults, name) for name in faults.__all__}
    assert kinds == set(CODES) | ABSTRACT


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_codes_messages_and_reasons(kind):
    error = made(kind)
    status = status_of(error)
    assert code_of(error) is CODES[kind]
    assert status.code == CODES[kind].value[0]
    assert details(error)["ErrorInfo"] == error_details_pb2.ErrorInfo(reason=kind.reason, domain=DOMAIN)
    if kind is not faults.InternalError:
        assert status.message == str(error)


def test_an_invalid_input_names_its_field():
    violations = details(made(faults.InvalidInput))["BadRequest"].field_violations
    assert [(one.field, one.description) for one in violations] == [
        ("k", "k: is wrong (got 0) Fix: Give more.")
    ]


def test_a_mismatch_shows_both_values():
    assert "expected 8, found 9" in status_of(made(faults.Mismatch)).message


def test_what_was_not_found_is_named():
    error = faults.NotFound("no such product", field="query.product_id", value="P1")
    assert details(error)["ResourceInfo"] == error_details_pb2.ResourceInfo(
        resource_type="query.product_id", resource_name="P1", description="no such product"
    )


def test_an_operational_error_says_when_to_come_back():
    soon = faults.Overloaded("full", retry_after_s=0.25)
    assert details(soon)["RetryInfo"].retry_delay == Duration(nanos=250_000_000)
    assert "RetryInfo" not in details(faults.Unavailable("gone"))


@pytest.mark.parametrize(
    "kind", [ValueError, KeyError, RuntimeError, faults.InternalError, faults.VitrineError]
)
def test_a_bug_tells_the_caller_nothing_of_the_inside(kind):
    status = status_of(kind("secret path /etc/shadow"))
    assert status.code == Code.INTERNAL.value[0]
    assert b"secret" not in status.SerializeToString()
    assert details(kind("secret"))["ErrorInfo"].reason == "INTERNAL"


@pytest.mark.parametrize("kind", [faults.InvalidInput, faults.NotFound])
@pytest.mark.parametrize("text", ["x", "😀", "\x00"], ids=["ascii", "emoji", "nul"])
def test_a_status_fits_into_a_header_however_long_the_value_is(kind, text):
    status = status_of(
        kind("no such product", field="query.product_id", value=text * 100_000, fix="Give one.")
    )
    assert status.ByteSize() < 4096


WHERE = {
    "Triton at 127.0.0.1:8001 cannot be reached: last error: UNKNOWN: ipv4:127.0.0.1:8001: x": (
        "127.0.0.1",
        "8001",
    ),
    "no release serves: /srv/releases/20260101T000000Z-abcdef/manifest.json is missing": ("/srv", "manifest"),
    "redis://:password@cache.internal:6379/0 refused": ("password", "cache.internal", "6379"),
    "[::1]:50051 and triton:8001 are away": ("::1", "triton:8001"),
    "10.1.2.3 does not answer": ("10.1.2.3",),
}


@pytest.mark.parametrize(("problem", "inside"), WHERE.items(), ids=[text[:20] for text in WHERE])
@pytest.mark.parametrize("kind", [faults.Unavailable, faults.Overloaded, faults.DeadlineExceeded])
def test_callers_do_not_learn_where_our_surroundings_are(kind, problem, inside):
    said = status_of(kind(problem, field="query_tower", fix="Start it (`make serve`).")).SerializeToString()
    assert not [part for part in inside if part.encode() in said]
    assert b"[withheld]" in said
    assert b"Start it (`make serve`)" in said


@pytest.mark.parametrize(
    "text",
    [
        "no release is active; publish one with `vitrine index`",
        "not done within 0.200 s",
        "37 searches are being computed, as many as end in time",
        "query_tower version 3 of release 20260101T000000Z-abcdef and/or product_tower",
    ],
)
def test_what_says_no_place_is_left_as_it_is(text):
    assert status_of(faults.Unavailable(text)).message == text


def test_a_bug_names_the_trace_by_which_the_log_has_it():
    token = trace_context.current.set(trace_context.TraceContext("ab" * 16))
    try:
        assert details(KeyError("x"))["RequestInfo"].request_id == "ab" * 16
    finally:
        trace_context.current.reset(token)
    assert "RequestInfo" not in details(KeyError("x"))
