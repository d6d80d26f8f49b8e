"""Errors arrive as what they were when they left, whichever way they took."""

import grpc
import pytest
from client_kinds import KINDS
from scripted_gateway import ScriptedGateway

import faults
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.status import code_of, status_of
from retrieval_gateway.client import NO_RETRIES
from retrieval_gateway.client.errors import fault_of, fault_of_item

LEAVES = [
    kind
    for kind in (getattr(faults, name) for name in faults.__all__)
    if not kind.__subclasses__() and kind is not faults.InternalError
]


def example(kind: type[faults.VitrineError]) -> faults.VitrineError:
    if kind is faults.Mismatch:
        return faults.Mismatch("page_token", expected="a", found="b", fix="Begin again.")
    if issubclass(kind, faults.OperationalError):
        return kind("It failed.", field="part", value=3, fix="Wait.", retry_after_s=1.25)
    return kind("It is wrong.", field="part", value=3, fix="Mend it.")


@KINDS
@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_comes_through(make, kind):
    sent = example(kind)
    with ScriptedGateway() as gateway, make(gateway.address, retries=NO_RETRIES) as client:
        gateway.script.append(sent)
        with pytest.raises(faults.VitrineError) as raised:
            client.search("mug")
    received = raised.value
    assert type(received) is kind
    assert (str(received), received.reason) == (str(sent), sent.reason)
    if isinstance(sent, faults.OperationalError):
        assert received.retry_after_s == 1.25
    if kind in (faults.InvalidInput, faults.NotFound):
        assert received.field == "part"


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_so_do_those_of_a_batch(kind):
    sent = example(kind)
    received = fault_of_item(
        pb.BatchSearchError(
            code=code_of(sent).value[0],
            message=str(sent),
            field=sent.field,
            reason=sent.reason,
            retry_after_ms=1250,
        )
    )
    assert type(received) is kind
    assert (str(received), received.field) == (str(sent), sent.field)
    if isinstance(received, faults.OperationalError):
        assert received.retry_after_s == 1.25


def test_a_bug_of_the_gateways_is_no_fault_of_the_callers():
    with ScriptedGateway() as gateway:
        gateway.script.append(faults.InternalError("the inside of it"))
        with grpc.insecure_channel(gateway.address) as channel:
            call = channel.unary_unary("/vitrine.retrieval.v1.RetrievalService/Search")
            with pytest.raises(grpc.RpcError) as raised:
                call(b"", timeout=5)
    received = fault_of(raised.value, gateway.address)
    assert type(received) is faults.InternalError
    assert "the inside of it" not in str(received)


class Failed(grpc.RpcError):
    """A call that failed before any gateway of ours had a word in it."""

    def __init__(self, code: grpc.StatusCode, details: str = "from a proxy") -> None:
        self._code, self._details = code, details

    def code(self):
        return self._code

    def details(self):
        return self._details

    def trailing_metadata(self):
        return ()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, faults.Unavailable),
        (grpc.StatusCode.CANCELLED, faults.Unavailable),
        (grpc.StatusCode.UNAUTHENTICATED, faults.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, faults.NotPermitted),
        (grpc.StatusCode.DEADLINE_EXCEEDED, faults.DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, faults.Overloaded),
        (grpc.StatusCode.UNIMPLEMENTED, faults.InternalError),
    ],
)
def test_what_others_on_the_way_say_is_translated_by_its_code(code, kind):
    assert type(fault_of(Failed(code), "shop.test:1")) is kind


def test_a_reason_that_a_newer_gateway_knows_goes_by_its_code():
    status = status_of(faults.NotPermitted("no"))
    error = pb.BatchSearchError(code=status.code, message="no", reason="OF_TOMORROW")
    assert type(fault_of_item(error)) is faults.NotPermitted
    assert type(fault_of_item(pb.BatchSearchError(code=99, message="?"))) is faults.InternalError
