"""Raw bytes to requests: a caller's bad bytes are named, never an exception of protobuf's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import InvalidInput
from retrieval_gateway.api.generated import release_service_pb2, retrieval_service_pb2
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.wire import parse, peek_number

GOOD = pb.SearchRequest(
    query=pb.Query(text="AAAA", picture=b"\xff\xfe"),
    k=3,
    filters=[
        pb.Filter(field="in_stock", **{"is": True}),
        pb.Filter(field="BBBB", any_of=pb.Values(values=["red", "CCCC", "blue"])),
    ],
    fields=["title", "DDDD"],
)
KINDS = [
    getattr(module, name)
    for module in (retrieval_service_pb2, release_service_pb2)
    for name in module.DESCRIPTOR.message_types_by_name
]


def test_a_good_request_is_parsed_whole():
    assert parse(pb.SearchRequest, GOOD.SerializeToString()) == GOOD
    assert parse(pb.SearchRequest, b"") == pb.SearchRequest()


@pytest.mark.parametrize(
    ("mark", "field"),
    [
        (b"AAAA", "query.text"),
        (b"BBBB", "filters[1].field"),
        (b"CCCC", "filters[1].any_of.values[1]"),
        (b"DDDD", "fields[1]"),
    ],
)
@pytest.mark.parametrize("bad", [b"\xff\xff\xff\xff", b"\xed\xa0\x80A", b"ab\xc3\x28", b"\xf8\x88\x80\x80"])
def test_text_that_is_not_utf8_is_named_by_its_field(mark, field, bad):
    with pytest.raises(InvalidInput) as refused:
        parse(pb.SearchRequest, GOOD.SerializeToString().replace(mark, bad))
    assert refused.value.field == field
    assert refused.value.value == bad
    assert "UTF-8" in str(refused.value)


def test_bytes_need_not_be_utf8():
    assert parse(pb.SearchRequest, GOOD.SerializeToString()).query.picture == b"\xff\xfe"


def test_a_bad_release_id_is_named_too():
    request = release_service_pb2.ActivateReleaseRequest(release_id="AAAA").SerializeToString()
    with pytest.raises(InvalidInput) as refused:
        parse(release_service_pb2.ActivateReleaseRequest, request.replace(b"AAAA", b"\xff\xff\xff\xff"))
    assert refused.value.field == "release_id"


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x07" * 50], ids=repr)
def test_bytes_that_are_no_message_are_refused_as_a_whole(raw):
    with pytest.raises(InvalidInput, match=r"request: not a vitrine\.retrieval\.v1\.SearchRequest"):
        parse(pb.SearchRequest, raw)


def test_the_bad_one_of_millions_is_refused_without_being_searched_for():
    values = pb.Values(values=["x"] * 6000 + ["CCCC"])
    request = pb.SearchRequest(filters=[pb.Filter(field="brand", any_of=values)]).SerializeToString()
    with pytest.raises(InvalidInput) as refused:
        parse(pb.SearchRequest, request.replace(b"CCCC", b"\xff\xff\xff\xff"))
    assert refused.value.field == "request"


def test_a_number_is_read_where_a_text_cannot_be():
    raw = pb.BatchSearchRequest(request_id=2**64 - 1, search=GOOD).SerializeToString()
    for whole in (raw, raw.replace(b"AAAA", b"\xff\xff\xff\xff")):
        assert peek_number(pb.BatchSearchRequest, whole, "request_id") == 2**64 - 1
    assert peek_number(pb.BatchSearchRequest, b"\xff", "request_id") == 0


@pytest.mark.parametrize(
    ("mark", "field"),
    [(b"EEEE", "filters[0].not.any.filters[1].all.filters[0].any_of.values[0]"), (b"FFFF", "query.without")],
)
def test_text_deep_within_is_named_by_its_path(mark, field):
    inner = pb.Filter(all=pb.Filters(filters=[pb.Filter(any_of=pb.Values(values=["EEEE"]))]))
    nested = pb.Filter(any=pb.Filters(filters=[pb.Filter(field="brand"), inner]))
    request = pb.SearchRequest(
        query=pb.Query(without="FFFF", vector=[1, 2]), filters=[pb.Filter(**{"not": nested})]
    )
    with pytest.raises(InvalidInput) as refused:
        parse(pb.SearchRequest, request.SerializeToString().replace(mark, b"\xff\xff\xff\xff"))
    assert refused.value.field == field


def parsed_or_refused(kind, raw):
    try:
        return parse(kind, raw)
    except InvalidInput as refused:
        return refused


@settings(deadline=None)
@given(raw=st.binary(max_size=200), kind=st.sampled_from(KINDS))
def test_any_bytes_are_a_message_or_a_refusal(raw, kind):
    assert isinstance(parsed_or_refused(kind, raw), (kind, InvalidInput))


@settings(deadline=None)
@given(place=st.integers(0, len(GOOD.SerializeToString()) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_is_a_message_or_a_refusal(place, byte):
    raw = bytearray(GOOD.SerializeToString())
    raw[place] = byte
    outcome = parsed_or_refused(pb.SearchRequest, bytes(raw))
    assert isinstance(outcome, pb.SearchRequest) or outcome.field
