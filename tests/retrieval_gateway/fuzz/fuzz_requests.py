"""Requests that are right, which hypothesis then makes wrong in a place or two, to get behind the checks."""

from __future__ import annotations

from fuzz_strategies import MARK, PICTURES, values_of
from google.protobuf.message import Message
from hypothesis import strategies as st
from support.small_releases import PRODUCTS

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

_DIM = 8
_FIELDS = ["title", "price", "in_stock", "brand"]
_RED = pb.Filter(field="color", any_of=pb.Values(values=["red", "blue"]))
_CHEAP = pb.Filter(field="price", range=pb.Range(minimum=1, maximum=80))
_FILTERS = [
    pb.Filter(any=pb.Filters(filters=[_RED, pb.Filter(all=pb.Filters(filters=[_CHEAP, _RED]))])),
    pb.Filter(**{"not": pb.Filter(field="in_stock", **{"is": True})}),
    pb.Filter(field="brand", none_of=pb.Values(values=["Oak"])),
]
_QUERIES = [
    pb.Query(text=f"red mug {MARK}"),
    pb.Query(picture=PICTURES[0]),
    pb.Query(text="red mug", picture=PICTURES[3], picture_weight=0.3),
    pb.Query(text="red", picture=PICTURES[1], mixing=pb.MIXING_JOINT),
    pb.Query(product_id=PRODUCTS[0].product_id, without="blue", without_weight=0.7),
    pb.Query(vector=[0.5, -1.0] * (_DIM // 2)),
]
_CHANNELS = pb.ChannelOptions(
    channels=[pb.CHANNEL_DENSE, pb.CHANNEL_LEXICAL],
    merging=pb.MERGING_WEIGHTED_SCORES,
    dense_weight=1,
    lexical_weight=0.5,
    dense_quota=1,
)
SEARCHES = [
    *(pb.SearchRequest(query=query) for query in _QUERIES),
    *(pb.SearchRequest(query=query, k=3, filters=_FILTERS, fields=_FIELDS) for query in _QUERIES),
    pb.SearchRequest(query=_QUERIES[0], k=2, explain=True, facets=["brand", "color"], per_style_group=1),
    pb.SearchRequest(query=_QUERIES[0], channels=_CHANNELS, minimum_score=-1.0, bypass_cache=True),
    pb.SearchRequest(query=_QUERIES[0], relevance_control=pb.RelevanceControl(category=True, keywords=True)),
]
_LAMP = "lamp"
"""The product with a supplier and a style group."""
SIMILAR = [
    pb.SearchSimilarRequest(product_id=_LAMP, k=3, fields=_FIELDS, view=pb.VIEW_IMAGE),
    pb.SearchSimilarRequest(product_id=_LAMP, suppliers=pb.SUPPLIER_SCOPE_OTHERS, explain=True),
    pb.SearchSimilarRequest(text="red mug", picture=PICTURES[5], filters=_FILTERS),
    pb.SearchSimilarRequest(text="red mug", view=pb.VIEW_TEXT),
]
RIGHT = {
    "Search": SEARCHES,
    "SearchSimilar": SIMILAR,
    "BatchSearch": [
        *(pb.BatchSearchRequest(request_id=7, search=one) for one in SEARCHES),
        *(pb.BatchSearchRequest(request_id=8, search_similar=one) for one in SIMILAR),
    ],
}


@st.composite
def nearly_right(draw: st.DrawFn, method: str) -> Message:
    """A right request with up to three fields, anywhere in it, set to something else."""
    right = draw(st.sampled_from(RIGHT[method]))
    request = type(right)()
    request.CopyFrom(right)
    for _ in range(draw(st.integers(0, 3))):
        _spoil(draw, request)
    return request


def _spoil(draw: st.DrawFn, message: Message) -> None:
    parts = [value for field, value in message.ListFields() if field.message_type is not None]
    inner = [one for part in parts for one in (part if not isinstance(part, Message) else [part])]
    if inner and draw(st.booleans()):
        _spoil(draw, draw(st.sampled_from(inner)))
        return
    field = draw(st.sampled_from(list(message.DESCRIPTOR.fields)))
    message.ClearField(field.name)
    values = values_of(field)
    if field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(values, max_size=4)))
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(draw(values))
    else:
        setattr(message, field.name, draw(values))
