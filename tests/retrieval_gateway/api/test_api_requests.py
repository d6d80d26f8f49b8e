"""Requests to checked queries: what is accepted becomes one normal form, every refusal names its field."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests import search_query
from retrieval_gateway.index.filters import AnyOf, Equals, Filter, NoneOf, Range
from retrieval_gateway.query import LikeProduct, Picture, SearchQuery, Words
from retrieval_gateway.settings import GatewaySettings

SETTINGS = GatewaySettings(max_k=50, max_query_characters=20, max_picture_bytes=100)
MUG = pb.Query(text="mug")
NAN, INFINITE = float("nan"), float("inf")


def checked(**fields) -> SearchQuery:
    return search_query(pb.SearchRequest(**{"query": MUG, **fields}), SETTINGS)


def filtered(**condition) -> SearchQuery:
    return checked(filters=[pb.Filter(**condition)])


def words(*values: str) -> pb.Values:
    return pb.Values(values=values)


def test_words_are_normalised_and_defaults_filled_in():
    assert checked(query=pb.Query(text="  Red\tMUG ")) == SearchQuery(Words("red mug"), 10, Filter(), ())


def test_a_picture_and_a_product_are_taken_as_they_are():
    assert checked(query=pb.Query(picture=b"\xff\xd8")).subject == Picture(b"\xff\xd8")
    assert checked(query=pb.Query(product_id=" P 1 ")).subject == LikeProduct(" P 1 ")


def test_the_default_k_keeps_to_a_smaller_limit():
    small = GatewaySettings(max_k=3)
    assert search_query(pb.SearchRequest(query=MUG), small).k == 3


def test_fields_keep_the_order_of_the_request_and_lose_repeats():
    assert checked(fields=["price", "title", "price"]).fields == ("price", "title")


def test_filters_of_every_kind():
    query = checked(
        filters=[
            pb.Filter(field="brand", any_of=words("LUMA ", "oak")),
            pb.Filter(field="color", none_of=words("red")),
            pb.Filter(field="price", range=pb.Range(minimum=5)),
            pb.Filter(field="in_stock", **{"is": False}),
        ]
    )
    assert query.filter == Filter(
        (
            AnyOf("brand", ("luma", "oak")),
            NoneOf("color", ("red",)),
            Range("price", 5.0),
            Equals("in_stock", False),
        )
    )


def test_a_range_may_be_closed_and_may_be_a_point():
    assert filtered(field="price", range=pb.Range(minimum=5, maximum=5)).filter == Filter(
        (Range("price", 5.0, 5.0),)
    )


REFUSALS = {
    "no query": ({"query": pb.Query()}, "query", "empty query"),
    "two kinds": ({"query": pb.Query(text="a", product_id="b")}, "query", "['text', 'product_id']"),
    "three kinds": ({"query": pb.Query(text="a", product_id="b", picture=b"c")}, "query", "'picture'"),
    "only white space": ({"query": pb.Query(text=" \t\u200b")}, "query.text", "Give words"),
    "only NUL": ({"query": pb.Query(text="\0\0")}, "query.text", "\\x00"),
    "too long": ({"query": pb.Query(text="x" * 21)}, "query.text", "21 characters are too many"),
    "large picture": ({"query": pb.Query(picture=b"x" * 101)}, "query.picture", "101 bytes"),
    "k of 0": ({"k": 0}, "k", "got 0) Fix: Give 1 to 50"),
    "k over the limit": ({"k": 51}, "k", "got 51) Fix: Give 1 to 50"),
    "k of 2^32-1": ({"k": 2**32 - 1}, "k", "4294967295"),
    "unknown field": ({"fields": ["title", "weight"]}, "fields[1]", "'weight') Fix: Use product_id, title"),
    "empty field": ({"fields": [""]}, "fields[0]", "''"),
    "no condition": ({"filters": [pb.Filter(field="brand")]}, "filters[0]", "any_of, none_of, range or is"),
    "unknown filter field": (
        {
            "filters": [
                pb.Filter(field="price", range=pb.Range(minimum=1)),
                pb.Filter(field="size", any_of=words("x")),
            ]
        },
        "filters[1].field",
        "'size') Fix: one of category, subcategory",
    ),
    "words for a number": (
        {"filters": [pb.Filter(field="price", any_of=words("5"))]},
        "filters[0].field",
        "'price'",
    ),
    "a range of words": (
        {"filters": [pb.Filter(field="brand", range=pb.Range(minimum=1))]},
        "filters[0].field",
        "a range fits price",
    ),
    "truth of words": (
        {"filters": [pb.Filter(field="brand", **{"is": True})]},
        "filters[0].field",
        "in_stock",
    ),
    "no values": (
        {"filters": [pb.Filter(field="brand", any_of=words())]},
        "filters[0].any_of",
        "at least one value",
    ),
    "no negated values": (
        {"filters": [pb.Filter(field="brand", none_of=words())]},
        "filters[0].none_of",
        "no values",
    ),
    "an empty value": (
        {"filters": [pb.Filter(field="brand", none_of=words("x", " "))]},
        "filters[0].none_of",
        "' '",
    ),
    "an empty range": (
        {"filters": [pb.Filter(field="price", range=pb.Range())]},
        "filters[0].range",
        "Give a number",
    ),
    "a range of NaN": (
        {"filters": [pb.Filter(field="price", range=pb.Range(minimum=NAN))]},
        "filters[0].range",
        "nan",
    ),
    "an infinite range": (
        {"filters": [pb.Filter(field="price", range=pb.Range(minimum=1, maximum=INFINITE))]},
        "filters[0].range",
        "inf",
    ),
    "a range upside down": (
        {"filters": [pb.Filter(field="price", range=pb.Range(minimum=2, maximum=1))]},
        "filters[0].range",
        "(2.0, 1.0)) Fix: Swap them",
    ),
    "a crowd of filters": ({"filters": [pb.Filter(field="in_stock", **{"is": True})] * 33}, "filters", "33"),
    "a crowd of values": (
        {"filters": [pb.Filter(field="brand", any_of=words(*"x" * 1001))]},
        "filters",
        "1001",
    ),
    "a mountain of bytes": ({"query": pb.Query(product_id="x" * 70_000)}, "request", "Send at most 65536"),
}


@pytest.mark.parametrize(("fields", "field", "part"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_field_value_and_fix(fields, field, part):
    with pytest.raises(InvalidInput) as refused:
        checked(**fields)
    assert refused.value.field == field
    assert part in str(refused.value)
    assert refused.value.fix
    assert len(str(refused.value)) < 600, "a message must fit into a header"


def test_words_and_pictures_have_limits_of_their_own():
    roomy = GatewaySettings(max_query_characters=100_000, max_picture_bytes=200_000)
    text, picture = pb.Query(text="é" * 90_000), pb.Query(picture=b"x" * 190_000)
    assert isinstance(search_query(pb.SearchRequest(query=text), roomy).subject, Words)
    assert isinstance(search_query(pb.SearchRequest(query=picture), roomy).subject, Picture)


TEXTS = st.text(max_size=25)
CONDITIONS = st.one_of(
    st.builds(lambda v: {"any_of": pb.Values(values=v)}, st.lists(TEXTS, max_size=3)),
    st.builds(lambda v: {"none_of": pb.Values(values=v)}, st.lists(TEXTS, max_size=3)),
    st.builds(lambda a, b: {"range": pb.Range(minimum=a, maximum=b)}, st.floats(), st.floats() | st.none()),
    st.builds(lambda v: {"is": v}, st.booleans()),
    st.just({}),
)
FILTERS = st.builds(
    lambda field, condition: pb.Filter(field=field, **condition),
    st.sampled_from(["brand", "price", "in_stock", "category"]) | TEXTS,
    CONDITIONS,
)


@settings(deadline=None)
@given(
    text=TEXTS,
    product_id=TEXTS,
    k=st.none() | st.integers(0, 2**32 - 1),
    filters=st.lists(FILTERS, max_size=3),
    fields=st.lists(st.sampled_from(["title", "price"]) | TEXTS, max_size=3),
)
def test_any_request_is_a_checked_query_or_a_refusal(text, product_id, k, filters, fields):
    request = pb.SearchRequest(
        query=pb.Query(text=text, product_id=product_id), k=k, filters=filters, fields=fields
    )
    refused = None
    try:
        query = search_query(request, SETTINGS)
    except InvalidInput as error:
        refused = error
    if refused is not None:
        assert refused.field
        assert refused.fix
    else:
        assert 1 <= query.k <= SETTINGS.max_k
