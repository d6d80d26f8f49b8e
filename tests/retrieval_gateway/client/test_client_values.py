"""The client's own values against the messages: nothing of the API is left out, and numbers agree."""

import dataclasses

import pytest

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client import (
    AllHold,
    AnyHolds,
    AnyOf,
    CacheSource,
    Channel,
    ChannelOptions,
    Degradation,
    Equals,
    Explanation,
    Facet,
    Hit,
    Merging,
    Mixing,
    NoneOf,
    Not,
    Range,
    RelevanceControl,
    Removal,
    SearchReply,
    SearchRequest,
    SimilarReply,
    SimilarRequest,
    SupplierScope,
    Timings,
    View,
)
from retrieval_gateway.client.connection import Connection, ConnectionOptions
from retrieval_gateway.client.filters import filter_message
from retrieval_gateway.client.requests import SearchOptions, SimilarOptions, search_message, similar_message

ENUMS = [CacheSource, Channel, Degradation, Merging, Mixing, SupplierScope, View]


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_an_enums_names_and_numbers_are_the_apis(kind):
    theirs = pb.DESCRIPTOR.enum_types_by_name[kind.__name__].values_by_name
    prefix = next(name for name in theirs if name.endswith("_UNSPECIFIED")).removesuffix("UNSPECIFIED")
    assert {f"{prefix}{one.name}": int(one) for one in kind} == {
        name: value.number for name, value in theirs.items()
    }


def test_a_number_of_tomorrow_reads_as_unspecified():
    reply = SearchReply(pb.SearchResponse(degradations=[99], cache_source=99))
    assert reply.degradations == (Degradation.UNSPECIFIED,)
    assert reply.cache_source is CacheSource.UNSPECIFIED


def names(kind) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("request_type", "options", "first"),
    [
        (SearchRequest, SearchOptions, {"text"}),
        (SimilarRequest, SimilarOptions, {"product_id"}),
        (Connection, ConnectionOptions, {"addresses", "timeout_s"}),
    ],
)
def test_every_field_can_be_given_as_a_keyword(request_type, options, first):
    assert names(request_type) - first == set(options.__annotations__)


def test_every_field_of_a_search_can_be_asked_for():
    query = {field.name for field in pb.Query.DESCRIPTOR.fields}
    rest = {field.name for field in pb.SearchRequest.DESCRIPTOR.fields} - {"query"}
    assert names(SearchRequest) == query | rest
    assert names(SimilarRequest) == {field.name for field in pb.SearchSimilarRequest.DESCRIPTOR.fields}
    assert names(ChannelOptions) == {field.name for field in pb.ChannelOptions.DESCRIPTOR.fields}
    assert names(RelevanceControl) == {field.name for field in pb.RelevanceControl.DESCRIPTOR.fields}


def test_a_search_is_sent_whole():
    request = SearchRequest(
        text="red mug",
        picture=b"png",
        product_id="p",
        vector=[0.5, -0.5],
        without="blue",
        without_weight=0.25,
        mixing=Mixing.JOINT,
        picture_weight=0.75,
        k=7,
        filters=[Equals("in_stock", True)],
        fields=["title"],
        bypass_cache=True,
        page_token="token",
        minimum_score=0.125,
        per_style_group=2,
        facets=["brand"],
        explain=True,
        channels=ChannelOptions(
            (Channel.LEXICAL, Channel.DENSE),
            Merging.WEIGHTED_SCORES,
            1.5,
            0.5,
            dense_quota=3,
            lexical_quota=4,
        ),
        relevance_control=RelevanceControl(category=True, keywords=True),
    )
    in_stock = pb.Filter(field="in_stock")
    setattr(in_stock, "is", True)
    assert search_message(request) == pb.SearchRequest(
        query=pb.Query(
            text="red mug",
            picture=b"png",
            product_id="p",
            vector=[0.5, -0.5],
            without="blue",
            without_weight=0.25,
            mixing=pb.MIXING_JOINT,
            picture_weight=0.75,
        ),
        k=7,
        filters=[in_stock],
        fields=["title"],
        bypass_cache=True,
        page_token="token",
        minimum_score=0.125,
        per_style_group=2,
        facets=["brand"],
        explain=True,
        channels=pb.ChannelOptions(
            channels=[pb.CHANNEL_LEXICAL, pb.CHANNEL_DENSE],
            merging=pb.MERGING_WEIGHTED_SCORES,
            dense_weight=1.5,
            lexical_weight=0.5,
            dense_quota=3,
            lexical_quota=4,
        ),
        relevance_control=pb.RelevanceControl(category=True, keywords=True),
    )


def test_what_is_not_given_is_absent_so_that_the_gateway_decides():
    message = search_message(SearchRequest(text="mug"))
    assert message == pb.SearchRequest(query=pb.Query(text="mug"))
    assert not any(message.HasField(name) for name in ("k", "minimum_score", "channels", "relevance_control"))
    assert similar_message(SimilarRequest(product_id="p")) == pb.SearchSimilarRequest(product_id="p")


def test_a_search_for_similar_products_is_sent_whole():
    request = SimilarRequest(
        product_id="p",
        text="mug",
        picture=b"png",
        view=View.TEXT,
        k=3,
        filters=[AnyOf("brand", ["Luma"])],
        fields=["price"],
        suppliers=SupplierScope.OTHERS,
        bypass_cache=True,
        explain=True,
    )
    assert similar_message(request) == pb.SearchSimilarRequest(
        product_id="p",
        text="mug",
        picture=b"png",
        view=pb.VIEW_TEXT,
        k=3,
        filters=[pb.Filter(field="brand", any_of=pb.Values(values=["Luma"]))],
        fields=["price"],
        suppliers=pb.SUPPLIER_SCOPE_OTHERS,
        bypass_cache=True,
        explain=True,
    )


def test_filters_nest():
    given = AnyHolds(
        [
            AllHold([AnyOf("color", ["red"]), Range("price", maximum=20)]),
            Not(NoneOf("brand", ["Luma"])),
            pb.Filter(field="category", any_of=pb.Values(values=["Kitchen"])),
        ]
    )
    negated = pb.Filter()
    getattr(negated, "not").CopyFrom(pb.Filter(field="brand", none_of=pb.Values(values=["Luma"])))
    cheap_red = pb.Filters(
        filters=[
            pb.Filter(field="color", any_of=pb.Values(values=["red"])),
            pb.Filter(field="price", range=pb.Range(maximum=20)),
        ]
    )
    kitchen = pb.Filter(field="category", any_of=pb.Values(values=["Kitchen"]))
    assert filter_message(given) == pb.Filter(
        any=pb.Filters(filters=[pb.Filter(all=cheap_red), negated, kitchen])
    )
    assert filter_message(Range("price", 1, 2)).range == pb.Range(minimum=1, maximum=2)
    assert not filter_message(Range("price", 1)).range.HasField("maximum")
    assert getattr(filter_message(Equals("in_stock", False)), "is") is False


@pytest.mark.parametrize(
    "fields",
    [{"k": -1}, {"k": 2**32}, {"text": "m\udcffug"}, {"picture": "not bytes"}, {"vector": ["one"]}],
    ids=str,
)
def test_what_no_request_can_carry_is_refused(fields):
    with pytest.raises(InvalidInput, match="cannot be sent"):
        search_message(SearchRequest(**fields))
    if fields.keys() <= names(SimilarRequest):
        with pytest.raises(InvalidInput, match="cannot be sent"):
            similar_message(SimilarRequest(**fields))


def test_hits_have_their_fields_and_what_is_missing_is_none():
    reply = SearchReply(
        pb.SearchResponse(
            product_ids=["a", "b"],
            scores=[0.75, 0.5],
            text_weights=[0.25, 1.0],
            image_weights=[0.75, 0.0],
            channels=[pb.CHANNEL_DENSE, pb.CHANNEL_LEXICAL],
            only_channel=[True, False],
            columns=[
                pb.Column(field="title", texts=["Mug", "Plate"]),
                pb.Column(field="price", numbers=[9.5, 0.0], present=[True, False]),
                pb.Column(field="in_stock", flags=[False, True]),
            ],
            explanations=[
                pb.Explanation(dense_rank=1, dense_score=0.75, matched_words=["mug"]),
                pb.Explanation(lexical_rank=1, lexical_score=8.5),
            ],
        )
    )
    assert reply.hits == (
        Hit(
            "a",
            0.75,
            0.25,
            0.75,
            Channel.DENSE,
            True,
            {"title": "Mug", "price": 9.5, "in_stock": False},
            Explanation(1, 0.75, 0, 0.0, ("mug",)),
        ),
        Hit(
            "b",
            0.5,
            1.0,
            0.0,
            Channel.LEXICAL,
            False,
            {"title": "Plate", "price": None, "in_stock": True},
            Explanation(0, 0.0, 1, 8.5, ()),
        ),
    )
    assert reply.product_ids == ("a", "b")
    assert reply.scores == (0.75, 0.5)
    assert [(column.field, column.values) for column in reply.columns][1] == ("price", (9.5, None))


def test_the_rest_of_a_reply():
    reply = SearchReply(
        pb.SearchResponse(
            release_id="r",
            degradations=[pb.DEGRADATION_FEWER_THAN_K],
            cache_source=pb.CACHE_SOURCE_REDIS,
            timings=pb.StageTimings(encode_us=5, total_us=9),
            next_page_token="next",
            facets=[pb.Facet(field="brand", values=["Luma", "Oak"], counts=[3, 1], missing=2, of=6)],
            keywords=["cup"],
            removals=[pb.Removal(reason="category", products=4)],
        )
    )
    assert reply.hits == ()
    assert (reply.release_id, reply.next_page_token, reply.keywords) == ("r", "next", ("cup",))
    assert reply.degradations == (Degradation.FEWER_THAN_K,)
    assert reply.cache_source is CacheSource.REDIS
    assert reply.timings == Timings(encode_us=5, total_us=9)
    assert reply.facets == (Facet("brand", (("Luma", 3), ("Oak", 1)), 2, 6),)
    assert reply.removals == (Removal("category", 4),)


def test_everything_that_a_reply_has_can_be_read():
    told = {name for name in dir(SearchReply) if not name.startswith("_")}
    through_hits = {"text_weights", "image_weights", "channels", "only_channel", "explanations"}
    assert {field.name for field in pb.SearchResponse.DESCRIPTOR.fields} <= told | through_hits
    similar = {name for name in dir(SimilarReply) if not name.startswith("_")}
    assert {field.name for field in pb.SearchSimilarResponse.DESCRIPTOR.fields} <= similar
    assert names(Timings) == {field.name for field in pb.StageTimings.DESCRIPTOR.fields}


def test_sections_of_similar_products():
    section = pb.Section(
        product_ids=["a"],
        scores=[0.5],
        text_weights=[1.0],
        image_weights=[0.0],
        columns=[pb.Column(field="title", texts=["Mug"])],
    )
    reply = SimilarReply(pb.SearchSimilarResponse(similar=section, release_id="r"))
    assert reply.similar.hits == (Hit("a", 0.5, 1.0, 0.0, Channel.DENSE, None, {"title": "Mug"}, None),)
    assert reply.same_style.hits == ()
    assert reply.same_style_threshold is None
    assert (reply.release_id, reply.degradations, reply.timings) == ("r", (), Timings())
