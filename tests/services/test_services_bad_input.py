"""Every bad input over the real wire: its status, its field, its message; and the gateway goes on."""

import os

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from support.pictures import plain_png
from support.processes import eventually

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

Code = grpc.StatusCode
MUG = pb.Query(text="mug")
JPEG_START = b"\xff\xd8\xff\xe0\x00\x10JFIF"


def request(**fields) -> bytes:
    return pb.SearchRequest(**{"query": MUG, **fields}).SerializeToString()


def bad_utf8(marked: bytes) -> bytes:
    """What a client in a careless language sends: the text's four marks are no UTF-8."""
    assert b"AAAA" in marked
    return marked.replace(b"AAAA", b"\xff\xfe\xc0A")


def values(*words: str) -> pb.Values:
    return pb.Values(values=words)


def filtered(**condition) -> bytes:
    return request(filters=[pb.Filter(**condition)])


BAD = {
    "nothing at all": (b"", "query", "empty query"),
    "empty words": (request(query=pb.Query(text="")), "query", "empty query"),
    "white space": (request(query=pb.Query(text=" \n")), "query.text", "Give words"),
    "over-long words": (
        request(query=pb.Query(text="x" * 1025)),
        "query.text",
        "1025 characters are too many",
    ),
    "words of megabytes": (request(query=pb.Query(text="ö" * 4_000_000)), "query.text", "4000000 characters"),
    "words that are no UTF-8": (
        bad_utf8(request(query=pb.Query(text="AAAA"))),
        "query.text",
        "not valid UTF-8",
    ),
    "a filter that is no UTF-8": (
        bad_utf8(filtered(field="brand", any_of=values("oak", "AAAA"))),
        "filters[0].any_of.values[1]",
        "not valid UTF-8",
    ),
    "garbage": (b"\x07garbage" * 9, "request", "not a vitrine.retrieval.v1.SearchRequest"),
    "random bytes": (b"\xff" + os.urandom(300), "request", "SearchRequest"),
    "k of 0": (request(k=0), "k", "out of range (got 0) Fix: Give 1 to 10000"),
    "k over the limit": (request(k=10_001), "k", "got 10001"),
    "two kinds of query": (request(query=pb.Query(text="a", product_id="b")), "query", "Give exactly one"),
    "an unknown field": (request(fields=["weight"]), "fields[0]", "'weight'"),
    "an unknown filter field": (filtered(field="size", any_of=values("x")), "filters[0].field", "'size'"),
    "the wrong kind of filter": (filtered(field="price", any_of=values("5")), "filters[0].field", "'price'"),
    "a filter without a condition": (filtered(field="brand"), "filters[0]", "no condition"),
    "a range upside down": (
        filtered(field="price", range=pb.Range(minimum=2, maximum=1)),
        "filters[0].range",
        "Swap them",
    ),
    "a hundred thousand filters": (
        request(filters=[pb.Filter(field="price", range=pb.Range(minimum=1))] * 100_000),
        "request",
        "too many bytes",
    ),
    "a picture that is none": (
        request(query=pb.Query(picture=b"GIF8")),
        "query.picture",
        "Send JPEG or PNG or WEBP",
    ),
    "a torn JPEG": (request(query=pb.Query(picture=JPEG_START + b"x" * 500)), "query.picture", "JPEG"),
    "a torn PNG": (request(query=pb.Query(picture=plain_png(500, 500, torn_at=300))), "query.picture", "PNG"),
    "a decompression bomb": (
        request(query=pb.Query(picture=plain_png(30_000, 30_000, torn_at=4000))),
        "query.picture",
        "declares 30000 x 30000 pixels; at most 40,000,000 are allowed",
    ),
    "a picture of too many bytes": (
        request(query=pb.Query(picture=b"x" * (8 * 2**20 + 1))),
        "query.picture",
        "Send at most 8388608 bytes",
    ),
}


@pytest.fixture(scope="module")
def raw_search(gateway):
    """Search from bytes to bytes, as a client that nobody checked sends it."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(gateway.address, options=options) as channel:
        call = channel.unary_unary("/vitrine.retrieval.v1.RetrievalService/Search")
        yield lambda raw, **more: call(raw, timeout=20, **more)


def refusal(raw_search, raw: bytes, **more) -> tuple[grpc.RpcError, dict]:
    with pytest.raises(grpc.RpcError) as failed:
        raw_search(raw, **more)
    details = {}
    status = rpc_status.from_call(failed.value)
    for packed in status.details if status is not None else ():
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        details[kind.__name__] = kind.FromString(packed.value)
    return failed.value, details


@pytest.mark.parametrize(("raw", "field", "part"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_field_and_the_gateway_goes_on(raw_search, client, raw, field, part):
    error, details = refusal(raw_search, raw)
    assert error.code() is Code.INVALID_ARGUMENT
    (violation,) = details["BadRequest"].field_violations
    assert violation.field == field
    assert part in violation.description == error.details()
    assert details["ErrorInfo"].reason == "INVALID_INPUT"
    assert client.search("mug").product_ids


@pytest.mark.parametrize("product_id", ["P999999", "../../etc/passwd", "é" * 30_000], ids=lambda one: one[:9])
def test_an_unknown_product_is_not_found(raw_search, product_id):
    error, details = refusal(raw_search, request(query=pb.Query(product_id=product_id)))
    assert error.code() is Code.NOT_FOUND
    assert details["ResourceInfo"].resource_type == "query.product_id"
    assert details["ResourceInfo"].resource_name == product_id[:256]


def test_a_message_over_the_limit_is_refused_by_the_transport(raw_search, client):
    error, _ = refusal(raw_search, request(query=pb.Query(picture=b"x" * (20 * 2**20))))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in error.details()
    assert client.search("mug").product_ids


def test_a_message_that_only_grows_when_unpacked_is_refused_too(raw_search, gateway):
    before = resident_mib(gateway.service.pid)
    bomb = request(query=pb.Query(picture=bytes(60 * 2**20)))
    error, _ = refusal(raw_search, bomb, compression=grpc.Compression.Gzip)
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert resident_mib(gateway.service.pid) < before + 60


def resident_mib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def test_an_unknown_method_is_unimplemented(gateway):
    with grpc.insecure_channel(gateway.address) as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/vitrine.retrieval.v1.RetrievalService/Destroy")(b"", timeout=5)
    assert failed.value.code() is Code.UNIMPLEMENTED


def test_a_full_gateway_refuses_with_a_time_to_come_back(stack):
    slow = request(query=pb.Query(picture=plain_png(8000, 4998)))
    with (
        stack.gateway(VITRINE_MAX_CONCURRENT_REQUESTS="1") as small,
        grpc.insecure_channel(small.address) as channel,
    ):
        call = channel.unary_unary("/vitrine.retrieval.v1.RetrievalService/Search")
        working = call.future(slow, timeout=20)
        eventually(lambda: small.metric("vitrine_requests_in_flight") == 1)
        errors = []
        while not working.done() and not errors:
            try:
                call(request(bypass_cache=True), timeout=5)  # a cached answer needs no place
            except grpc.RpcError as error:
                errors.append(error)
        assert errors
        assert errors[0].code() is Code.RESOURCE_EXHAUSTED
        info = error_details_pb2.RetryInfo()
        assert any(packed.Unpack(info) for packed in rpc_status.from_call(errors[0]).details)
        assert info.retry_delay.ToMilliseconds() > 0
        assert working.result()
        assert call(request(), timeout=5)
