"""Requests to checked queries: what is accepted becomes one normal form, every refusal names its field."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests import search_query
from retrieval_gateway.index.filters import AllHold, AnyHolds, AnyOf, Equals, Filter, NoneOf, Not, Range
from retrieval_gateway.query import (
    ChannelChoice,
    GivenVector,
    LikeProduct,
    Picture,
    RelevanceControl,
    SearchQuery,
    Without,
    Words,
    WordsAndPicture,
)
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


@pytest.mark.parametrize(
    ("fields", "picture_weight"),
    [
        ({}, 0.5),
        ({"mixing": pb.MIXING_ARITHMETIC, "picture_weight": 0.25}, 0.25),
        ({"picture_weight": 1}, 1.0),
        ({"picture_weight": 0}, 0.0),
        ({"mixing": pb.MIXING_JOINT}, None),
    ],
)
def test_words_and_picture_are_mixed_by_weight_or_by_the_product_tower(fields, picture_weight):
    query = checked(query=pb.Query(text=" Red ", picture=b"p", **fields))
    assert query.subject == WordsAndPicture("red", b"p", picture_weight)
    assert query.text == "red"


def test_how_to_mix_does_not_matter_where_there_is_nothing_to_mix():
    assert checked(query=pb.Query(text="mug", mixing=pb.MIXING_JOINT, picture_weight=7)) == checked()


@pytest.mark.parametrize(
    ("fields", "without"),
    [
        ({"without": "Blue\n"}, Without("blue", 0.5)),
        ({"without": "blue", "without_weight": 2}, Without("blue", 2.0)),
        ({"without": "blue", "without_weight": 0}, None),
        ({"without_weight": 1}, None),
    ],
)
def test_what_is_unwanted(fields, without):
    assert checked(query=pb.Query(text="mug", **fields)).without == without


def test_a_vector_is_taken_as_the_float32_that_it_came_as():
    subject = checked(query=pb.Query(vector=[0.5, -2, 0])).subject
    assert subject == GivenVector(np.array([0.5, -2, 0], np.float32).tobytes())


def test_only_words_are_searched_as_full_text():
    assert checked(query=pb.Query(picture=b"p")).text == ""
    assert checked(query=pb.Query(product_id="p")).text == ""
    assert checked().text == "mug"


def test_what_is_asked_for_beside_the_query():
    query = checked(
        minimum_score=-0.5,
        per_style_group=2,
        facets=["brand", "color", "brand"],
        explain=True,
        relevance_control=pb.RelevanceControl(category=True, keywords=True),
    )
    assert (query.minimum_score, query.per_style_group, query.explain) == (-0.5, 2, True)
    assert query.facets == ("brand", "color")
    assert query.relevance == RelevanceControl(category=True, keywords=True)


def test_channels_are_the_releases_own_choice_unless_the_request_chooses():
    assert checked().channels == checked(channels=pb.ChannelOptions()).channels == ChannelChoice()
    chosen = pb.ChannelOptions(
        channels=[pb.CHANNEL_LEXICAL, pb.CHANNEL_DENSE, pb.CHANNEL_LEXICAL],
        merging=pb.MERGING_WEIGHTED_SCORES,
        dense_weight=0,
        lexical_weight=1.5,
        dense_quota=3,
        lexical_quota=7,
    )
    assert checked(channels=chosen).channels == ChannelChoice(
        ("dense", "lexical"), "weighted_scores", 0.0, 1.5, 3, 7
    )


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


def test_filters_within_filters():
    brand = pb.Filter(field="brand", any_of=words("oak"))
    cheap = pb.Filter(field="price", range=pb.Range(maximum=5))
    either = pb.Filter(any=pb.Filters(filters=[brand, cheap]))
    both = pb.Filter(all=pb.Filters(filters=[brand, cheap]))
    neither = pb.Filter(**{"not": either})
    oak, low = Filter((AnyOf("brand", ("oak",)),)), Filter((Range("price", None, 5.0),))
    assert checked(filters=[either]).filter == Filter((AnyHolds((oak, low)),))
    assert checked(filters=[both]).filter == Filter((AllHold((oak, low)),))
    assert checked(filters=[neither]).filter == Filter((Not(Filter((AnyHolds((oak, low)),))),))


def nested(levels: int) -> pb.Filter:
    found = pb.Filter(field="brand", any_of=words("oak"))
    for _ in range(levels):
        found = pb.Filter(any=pb.Filters(filters=[found, pb.Filter(field="color", any_of=words("red"))]))
        found = pb.Filter(**{"not": found})
    return found


def test_filters_may_be_nested_eight_deep_and_no_deeper():
    assert checked(filters=[nested(4)]).filter
    with pytest.raises(InvalidInput) as refused:
        checked(filters=[nested(5)])
    assert refused.value.field == "filters[0]" + ".not.any[0]" * 4
    assert "at most 8" in refused.value.fix


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
    "a vector beside words": ({"query": pb.Query(text="a", vector=[1])}, "query", "['text', 'vector']"),
    "a picture beside a product": (
        {"query": pb.Query(picture=b"a", product_id="b")},
        "query",
        "or text and picture",
    ),
    "a vector of NaN": (
        {"query": pb.Query(vector=[1, NAN])},
        "query.vector[1]",
        "nan) Fix: Give finite numbers",
    ),
    "an infinite vector": ({"query": pb.Query(vector=[INFINITE])}, "query.vector[0]", "inf"),
    "a vector that points nowhere": (
        {"query": pb.Query(vector=[0, -0.0])},
        "query.vector",
        "all numbers are 0",
    ),
    "a picture weight over 1": (
        {"query": pb.Query(text="a", picture=b"b", picture_weight=1.5)},
        "query.picture_weight",
        "1.5) Fix: Give 0 to 1",
    ),
    "a picture weight for the tower": (
        {"query": pb.Query(text="a", picture=b"b", picture_weight=0.5, mixing=pb.MIXING_JOINT)},
        "query.picture_weight",
        "weighs words and picture itself",
    ),
    "unknown mixing": (
        {"query": pb.Query(text="a", picture=b"b", mixing=9)},
        "query.mixing",
        "9) Fix: Use MIXING_ARITHMETIC",
    ),
    "invisible words to leave out": (
        {"query": pb.Query(text="a", without="\u200b")},
        "query.without",
        "Give words",
    ),
    "over-long words to leave out": (
        {"query": pb.Query(text="a", without="x" * 21)},
        "query.without",
        "21 characters",
    ),
    "too much to take away": (
        {"query": pb.Query(text="a", without="b", without_weight=2.5)},
        "query.without_weight",
        "2.5) Fix: Give 0 to 2",
    ),
    "a weight of NaN": (
        {"query": pb.Query(text="a", without="b", without_weight=NAN)},
        "query.without_weight",
        "nan",
    ),
    "nothing but what is unwanted": ({"query": pb.Query(without="a")}, "query", "empty query"),
    "a bound of NaN": ({"minimum_score": NAN}, "minimum_score", "nan) Fix: Give a finite number"),
    "facets of a number": ({"facets": ["brand", "price"]}, "facets[1]", "'price') Fix: Use category"),
    "a crowd of facets": ({"facets": ["brand"] * 65}, "facets", "65"),
    "an unknown channel": (
        {"channels": pb.ChannelOptions(channels=[pb.CHANNEL_DENSE, 5])},
        "channels.channels[1]",
        "5) Fix: Use CHANNEL_DENSE",
    ),
    "a channel of no name": (
        {"channels": pb.ChannelOptions(channels=[pb.CHANNEL_UNSPECIFIED])},
        "channels.channels[0]",
        "unknown channel",
    ),
    "full text of a picture": (
        {"query": pb.Query(picture=b"p"), "channels": pb.ChannelOptions(channels=[pb.CHANNEL_LEXICAL])},
        "channels.channels[0]",
        "Give query.text",
    ),
    "unknown merging": (
        {"channels": pb.ChannelOptions(merging=3)},
        "channels.merging",
        "3) Fix: Use MERGING",
    ),
    "a negative weight": (
        {"channels": pb.ChannelOptions(dense_weight=-1)},
        "channels.dense_weight",
        "-1.0) Fix: Give at least 0",
    ),
    "an infinite weight": (
        {"channels": pb.ChannelOptions(lexical_weight=INFINITE)},
        "channels.lexical_weight",
        "inf",
    ),
    "no weight at all": (
        {"channels": pb.ChannelOptions(dense_weight=0, lexical_weight=0)},
        "channels",
        "both weights are 0",
    ),
    "quotas for more than k": (
        {"k": 5, "channels": pb.ChannelOptions(dense_quota=3, lexical_quota=3)},
        "channels",
        "(3, 3)) Fix: Give quotas whose sum is at most k",
    ),
    "decisive words of a picture": (
        {"query": pb.Query(picture=b"p"), "relevance_control": pb.RelevanceControl(keywords=True)},
        "relevance_control.keywords",
        "control by category alone",
    ),
    "a page token of somebody else": (
        {"page_token": "abc"},
        "page_token",
        "'abc') Fix: Send next_page_token",
    ),
    "large picture": ({"query": pb.Query(picture=b"x" * 101)}, "query.picture", "101 bytes"),
    "k of 0": ({"k": 0}, "k", "got 0) Fix: Give 1 to 50"),
    "k over the limit": ({"k": 51}, "k", "got 51) Fix: Give 1 to 50"),
    "k of 2^32-1": ({"k": 2**32 - 1}, "k", "4294967295"),
    "unknown field": ({"fields": ["title", "weight"]}, "fields[1]", "'weight') Fix: Use product_id, title"),
    "empty field": ({"fields": [""]}, "fields[0]", "''"),
    "no condition": (
        {"filters": [pb.Filter(field="brand")]},
        "filters[0]",
        "any_of, none_of, range, is, any",
    ),
    "nothing to choose from": (
        {"filters": [pb.Filter(any=pb.Filters())]},
        "filters[0].any",
        "no filters",
    ),
    "a field beside a nested filter": (
        {"filters": [pb.Filter(field="brand", all=pb.Filters(filters=[pb.Filter()]))]},
        "filters[0].field",
        "'brand') Fix: Leave the field out",
    ),
    "no condition within": (
        {"filters": [pb.Filter(**{"not": pb.Filter(any=pb.Filters(filters=[pb.Filter(field="a")]))})]},
        "filters[0].not.any[0]",
        "no condition",
    ),
    "no values within": (
        {
            "filters": [
                pb.Filter(field="in_stock", **{"is": True}),
                pb.Filter(**{"not": pb.Filter(field="brand", any_of=words())}),
            ]
        },
        "filters[1].not.any_of",
        "at least one value",
    ),
    "an unknown field within": (
        {"filters": [pb.Filter(all=pb.Filters(filters=[pb.Filter(field="size", any_of=words("x"))]))]},
        "filters[0].all[0].field",
        "'size'",
    ),
    "a crowd within": (
        {"filters": [pb.Filter(any=pb.Filters(filters=[pb.Filter(field="in_stock", **{"is": True})] * 32))]},
        "filters",
        "33",
    ),
    "a crowd of values within": (
        {"filters": [pb.Filter(**{"not": pb.Filter(field="brand", none_of=words(*"x" * 1001))})]},
        "filters",
        "1001",
    ),
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
