"""RetrievalService: bytes in, products out."""

from __future__ import annotations

import grpc

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.api.replies import batch_error, batch_item
from retrieval_gateway.api.requests import search_query, similar_query
from retrieval_gateway.api.wire import parse, peek_number
from retrieval_gateway.searcher import Searcher
from retrieval_gateway.settings import GatewaySettings

SERVICE = pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name


def retrieval_service(
    searcher: Searcher, settings: GatewaySettings, handlers: Handlers
) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Returns the service for a gRPC server."""

    async def search(raw: bytes) -> bytes:
        return await searcher.search(search_query(parse(pb.SearchRequest, raw), settings))

    async def search_similar(raw: bytes) -> bytes:
        return await searcher.similar(similar_query(parse(pb.SearchSimilarRequest, raw), settings))

    async def one_of_a_batch(raw: bytes) -> bytes:
        request = parse(pb.BatchSearchRequest, raw)
        kind = request.WhichOneof("request")
        if kind == "search":
            reply = await searcher.search(search_query(request.search, settings))
        elif kind == "search_similar":
            reply = await searcher.similar(similar_query(request.search_similar, settings))
        else:
            raise InvalidInput("no request", field="request", fix="Give search or search_similar.")
        return batch_item(request.request_id, kind, reply)

    def failed_one(raw: bytes, error: Exception) -> bytes:
        return batch_error(peek_number(pb.BatchSearchRequest, raw, "request_id"), error)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Search": handlers.unary("Search", search),
            "SearchSimilar": handlers.unary("SearchSimilar", search_similar),
            "BatchSearch": handlers.stream("BatchSearch", one_of_a_batch, failed_one),
        },
    )
