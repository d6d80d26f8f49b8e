"""Answers to replies: parallel arrays, missing values marked, and two messages that read as one."""

import dataclasses

import numpy as np
import pytest
from google.rpc import code_pb2
from support.rankings import merged_of, ranking_of

import faults
from retrieval_gateway.answer import SearchAnswer, SimilarAnswer
from retrieval_gateway.api import replies
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.product_table import ProductTable, write_product_table
from retrieval_gateway.ranking.facets import FacetCounts
from retrieval_gateway.ranking.sections import Sections

COLUMNS = {
    "product_id": ["a", "b", "c"],
    "title": ["Äpfel", "", "Cup"],
    "brand": ["Luma", "Luma", None],
    "price": [1.5, None, 0.0],
    "in_stock": [True, None, False],
    "text_weight": [0.25, 0.5, 1.0],
    "image_weight": [0.75, 0.5, 0.0],
}


@pytest.fixture
def table(tmp_path):
    write_product_table(tmp_path / "products.arrow", COLUMNS)
    return ProductTable(tmp_path / "products.arrow")


def answer(*rows: int, **fields) -> SearchAnswer:
    hits = merged_of(rows, [1.0 - 0.25 * place for place in range(len(rows))])
    plain = SearchAnswer(
        hits=hits,
        several=False,
        keywords=(),
        facets=(),
        matched_words=None,
        removed={},
        next_page_token="",
        degradations=(),
    )
    return dataclasses.replace(plain, **fields)


def body(table, found: SearchAnswer, fields=()) -> pb.SearchResponse:
    return pb.SearchResponse.FromString(replies.search_body("r1", table, found, fields))


def test_arrays_are_parallel_and_best_first(table):
    reply = body(table, answer(2, 0, 1))
    assert list(reply.product_ids) == ["c", "a", "b"]
    assert list(reply.scores) == [1.0, 0.75, 0.5]
    assert list(reply.text_weights) == [1.0, 0.25, 0.5]
    assert list(reply.image_weights) == [0.0, 0.75, 0.5]
    assert list(reply.channels) == [pb.CHANNEL_DENSE] * 3
    assert reply.release_id == "r1"
    for empty in (
        "columns",
        "degradations",
        "only_channel",
        "explanations",
        "facets",
        "removals",
        "keywords",
    ):
        assert not getattr(reply, empty), empty
    assert reply.next_page_token == ""


def test_columns_are_typed_and_missing_values_marked(table):
    reply = body(table, answer(0, 1, 2), ("title", "brand", "price", "in_stock"))
    assert list(reply.columns) == [
        pb.Column(field="title", texts=["Äpfel", "", "Cup"], present=[True, False, True]),
        pb.Column(field="brand", texts=["Luma", "Luma", ""], present=[True, True, False]),
        pb.Column(field="price", numbers=[1.5, 0.0, 0.0], present=[True, False, True]),
        pb.Column(field="in_stock", flags=[True, False, False], present=[True, False, True]),
    ]


def test_a_column_without_gaps_says_nothing_of_presence(table):
    (column,) = body(table, answer(0, 2), ("price",)).columns
    assert column == pb.Column(field="price", numbers=[1.5, 0.0])


def test_nothing_found_is_an_answer(table):
    found = answer(degradations=("query_truncated", "fewer_than_k"))
    reply = body(table, found, ("price",))
    assert list(reply.product_ids) == []
    assert list(reply.degradations) == [pb.DEGRADATION_QUERY_TRUNCATED, pb.DEGRADATION_FEWER_THAN_K]


def test_every_degradation_has_its_number(table):
    names = (
        "query_truncated",
        "fewer_than_k",
        "dense_channel_failed",
        "lexical_channel_failed",
        "cpu_index",
        "view_not_available",
    )
    assert list(body(table, answer(degradations=names)).degradations) == [1, 2, 3, 4, 5, 6]
    assert len(pb.Degradation.items()) == 1 + len(names)


def test_each_hit_says_which_channel_found_it_and_whether_only_that(table):
    hits = dataclasses.replace(
        merged_of([0, 1, 2]), dense=np.array([True, False, True]), only=np.array([False, True, True])
    )
    reply = body(table, answer(hits=hits, several=True))
    assert list(reply.channels) == [pb.CHANNEL_DENSE, pb.CHANNEL_LEXICAL, pb.CHANNEL_DENSE]
    assert list(reply.only_channel) == [False, True, True]


def test_an_explanation_a_hit(table):
    hits = dataclasses.replace(
        merged_of([1, 0], [0.5, 0.25]),
        lexical_rank=np.array([3, 0], np.int32),
        lexical_score=np.array([2.5, 0], np.float32),
    )
    reply = body(table, answer(hits=hits, matched_words=[["red", "mug"], []]))
    assert list(reply.explanations) == [
        pb.Explanation(
            dense_rank=1, dense_score=0.5, lexical_rank=3, lexical_score=2.5, matched_words=["red", "mug"]
        ),
        pb.Explanation(dense_rank=2, dense_score=0.25),
    ]


def test_what_else_an_answer_has_is_told(table):
    found = answer(
        0,
        facets=(FacetCounts("brand", ("Luma", "Oak"), (2, 1), missing=3, of=6),),
        removed={"category": 4, "keywords": 1},
        keywords=("stoneware",),
        next_page_token="next",
    )
    reply = body(table, found)
    assert list(reply.facets) == [
        pb.Facet(field="brand", values=["Luma", "Oak"], counts=[2, 1], missing=3, of=6)
    ]
    assert list(reply.removals) == [
        pb.Removal(reason="category", products=4),
        pb.Removal(reason="keywords", products=1),
    ]
    assert list(reply.keywords) == ["stoneware"]
    assert reply.next_page_token == "next"


def similar(table, **fields) -> pb.SearchSimilarResponse:
    sections = Sections(ranking_of([2], [0.9]), ranking_of([0, 1], [0.5, 0.25]))
    found = dataclasses.replace(SimilarAnswer(sections, 0.75, ()), **fields)
    return pb.SearchSimilarResponse.FromString(replies.similar_body("r1", table, found, ("price",)))


def test_similar_products_in_two_sections(table):
    reply = similar(table)
    assert reply.same_style == pb.Section(
        product_ids=["c"],
        scores=[0.9],
        text_weights=[1.0],
        image_weights=[0.0],
        columns=[pb.Column(field="price", numbers=[0.0])],
    )
    assert list(reply.similar.product_ids) == ["a", "b"]
    assert list(reply.similar.columns[0].present) == [True, False]
    assert (reply.same_style_threshold, reply.release_id) == (0.75, "r1")


def test_a_release_without_a_threshold_says_so(table):
    reply = similar(table, threshold=None, degradations=("view_not_available",))
    assert not reply.HasField("same_style_threshold")
    assert list(reply.degradations) == [pb.DEGRADATION_VIEW_NOT_AVAILABLE]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("computed", pb.CACHE_SOURCE_COMPUTED),
        ("flight", pb.CACHE_SOURCE_SHARED_FLIGHT),
        ("memory", pb.CACHE_SOURCE_MEMORY),
        ("redis", pb.CACHE_SOURCE_REDIS),
    ],
)
@pytest.mark.parametrize("kind", [pb.SearchResponse, pb.SearchSimilarResponse])
def test_body_and_trailer_end_to_end_read_as_one_message(kind, source, expected):
    first = kind(release_id="r1", degradations=[pb.DEGRADATION_FEWER_THAN_K]).SerializeToString()
    second = replies.trailer(kind, source, {"cache": 0.000001, "lexical": 0.0123456, "total": 1.5})
    whole = kind.FromString(first + second)
    assert whole.cache_source == expected
    assert whole.timings == pb.StageTimings(cache_us=1, lexical_us=12346, total_us=1_500_000)
    whole.ClearField("cache_source")
    whole.ClearField("timings")
    assert whole == kind.FromString(first)


@pytest.mark.parametrize("length", [0, 1, 120, 128, 20_000, 3_000_000])
@pytest.mark.parametrize("request_id", [0, 1, 2**64 - 1])
def test_a_wrapped_reply_is_the_message_that_protobuf_would_make(length, request_id):
    reply = pb.SearchResponse(release_id="x" * length)
    wrapped = replies.batch_item(request_id, "search", reply.SerializeToString())
    assert pb.BatchSearchResponse.FromString(wrapped) == pb.BatchSearchResponse(
        request_id=request_id, search=reply
    )


def test_body_and_trailer_are_one_message_inside_a_wrapper_too():
    first = pb.SearchSimilarResponse(release_id="r1").SerializeToString()
    last = replies.trailer(pb.SearchSimilarResponse, "memory", {"total": 1e-6})
    wrapped = replies.batch_item(7, "search_similar", first + last)
    reply = pb.BatchSearchResponse.FromString(wrapped)
    assert reply.search_similar.release_id == "r1"
    assert reply.search_similar.cache_source == pb.CACHE_SOURCE_MEMORY
    assert reply.search_similar.timings.total_us == 1


def failed(error: Exception) -> pb.BatchSearchError:
    reply = pb.BatchSearchResponse.FromString(replies.batch_error(9, error))
    assert reply.request_id == 9
    return reply.error


def test_a_refusal_names_its_field_and_reason():
    error = failed(faults.InvalidInput("out of range", field="k", value=0, fix="Give 1."))
    assert error.code == code_pb2.INVALID_ARGUMENT
    assert (error.field, error.reason, error.retry_after_ms) == ("k", "INVALID_INPUT", 0)
    assert "Give 1." in error.message


def test_an_overload_says_when_to_come_back():
    error = failed(faults.Overloaded("too many", retry_after_s=0.25))
    assert (error.code, error.retry_after_ms) == (code_pb2.RESOURCE_EXHAUSTED, 250)


def test_a_bug_tells_nothing_of_its_inside():
    error = failed(KeyError("secret"))
    assert error.code == code_pb2.INTERNAL
    assert "secret" not in str(error)
