"""The client of the gateway: typed, with deadlines, and no protobuf needed.

    with RetrievalClient("127.0.0.1:50051") as client:
        for hit in client.search("red mug", k=5, filters=[Range("price", maximum=20)]).hits:
            print(hit.product_id, hit.score)

``AsyncRetrievalClient`` is the same for asyncio. docs/client.md has the rest.
"""

from retrieval_gateway.client.asynchronous import AsyncRetrievalClient
from retrieval_gateway.client.batch import BatchAnswer, BatchRequest
from retrieval_gateway.client.blocking import RetrievalClient
from retrieval_gateway.client.connection import Tls
from retrieval_gateway.client.filters import AllHold, AnyHolds, AnyOf, Equals, Filter, NoneOf, Not, Range
from retrieval_gateway.client.health import HealthState
from retrieval_gateway.client.hits import Column, Explanation, FieldValue, Hit
from retrieval_gateway.client.options import (
    CacheSource,
    Channel,
    ChannelOptions,
    Degradation,
    Merging,
    Mixing,
    RelevanceControl,
    SupplierScope,
    View,
)
from retrieval_gateway.client.releases import Release
from retrieval_gateway.client.replies import Facet, Removal, SearchReply, Timings
from retrieval_gateway.client.requests import SearchRequest, SimilarRequest
from retrieval_gateway.client.retry import NO_RETRIES, RetryPolicy
from retrieval_gateway.client.similar import Section, SimilarReply

__all__ = [
    "NO_RETRIES",
    "AllHold",
    "AnyHolds",
    "AnyOf",
    "AsyncRetrievalClient",
    "BatchAnswer",
    "BatchRequest",
    "CacheSource",
    "Channel",
    "ChannelOptions",
    "Column",
    "Degradation",
    "Equals",
    "Explanation",
    "Facet",
    "FieldValue",
    "Filter",
    "HealthState",
    "Hit",
    "Merging",
    "Mixing",
    "NoneOf",
    "Not",
    "Range",
    "Release",
    "RelevanceControl",
    "Removal",
    "RetrievalClient",
    "RetryPolicy",
    "SearchReply",
    "SearchRequest",
    "Section",
    "SimilarReply",
    "SimilarRequest",
    "SupplierScope",
    "Timings",
    "Tls",
    "View",
]
