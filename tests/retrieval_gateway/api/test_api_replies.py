"""Neighbours to replies: parallel arrays, missing values marked, and two messages that read as one."""

import numpy as np
import pytest

from retrieval_gateway.api import replies
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.product_table import ProductTable, write_product_table
from retrieval_gateway.index.types import Neighbours

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


def found(*rows: int) -> Neighbours:
    scores = [1.0 - 0.25 * place for place in range(len(rows))]
    return Neighbours(np.array([rows], np.int64), np.array([scores], np.float32))


def body(table, neighbours, k=3, fields=(), truncated=False) -> pb.SearchResponse:
    return pb.SearchResponse.FromString(replies.body("r1", table, neighbours, k, fields, truncated))


def test_arrays_are_parallel_and_best_first(table):
    reply = body(table, found(2, 0, 1))
    assert list(reply.product_ids) == ["c", "a", "b"]
    assert list(reply.scores) == [1.0, 0.75, 0.5]
    assert list(reply.text_weights) == [1.0, 0.25, 0.5]
    assert list(reply.image_weights) == [0.0, 0.75, 0.5]
    assert list(reply.channels) == [pb.CHANNEL_DENSE] * 3
    assert reply.release_id == "r1"
    assert not reply.columns
    assert not reply.degradations


def test_columns_are_typed_and_missing_values_marked(table):
    reply = body(table, found(0, 1, 2), fields=("title", "brand", "price", "in_stock"))
    assert list(reply.columns) == [
        pb.Column(field="title", texts=["Äpfel", "", "Cup"], present=[True, False, True]),
        pb.Column(field="brand", texts=["Luma", "Luma", ""], present=[True, True, False]),
        pb.Column(field="price", numbers=[1.5, 0.0, 0.0], present=[True, False, True]),
        pb.Column(field="in_stock", flags=[True, False, False], present=[True, False, True]),
    ]


def test_a_column_without_gaps_says_nothing_of_presence(table):
    (column,) = body(table, found(0, 2), k=2, fields=("price",)).columns
    assert column == pb.Column(field="price", numbers=[1.5, 0.0])


def test_places_without_a_neighbour_are_left_out_and_said(table):
    reply = body(table, found(1, -1, -1), fields=("title",))
    assert list(reply.product_ids) == ["b"]
    assert list(reply.scores) == [1.0]
    assert list(reply.columns[0].present) == [False]
    assert list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]


def test_nothing_found_is_an_answer(table):
    reply = body(table, found(-1, -1, -1), fields=("price",), truncated=True)
    assert list(reply.product_ids) == []
    assert list(reply.degradations) == [pb.DEGRADATION_QUERY_TRUNCATED, pb.DEGRADATION_FEWER_THAN_K]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("computed", pb.CACHE_SOURCE_COMPUTED),
        ("flight", pb.CACHE_SOURCE_SHARED_FLIGHT),
        ("memory", pb.CACHE_SOURCE_MEMORY),
        ("redis", pb.CACHE_SOURCE_REDIS),
    ],
)
def test_body_and_trailer_end_to_end_read_as_one_message(table, source, expected):
    first = replies.body("r1", table, found(0, 1), 2, ("title",), False)
    second = replies.trailer(source, {"cache": 0.000001, "search": 0.0123456, "total": 1.5})
    whole = pb.SearchResponse.FromString(first + second)
    assert whole.cache_source == expected
    assert whole.timings == pb.StageTimings(cache_us=1, search_us=12346, total_us=1_500_000)
    whole.ClearField("cache_source")
    whole.ClearField("timings")
    assert whole == pb.SearchResponse.FromString(first)
