"""RetrievalService: bytes in, products out."""

from __future__ import annotations

import grpc

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.handlers import Handlers
from retrieval_gateway.api.requests import search_query
from retrieval_gateway.api.wire import parse
from retrieval_gateway.searcher import Searcher
from retrieval_gateway.settings import GatewaySettings

SERVICE = pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name


def retrieval_service(
    searcher: Searcher, settings: GatewaySettings, handlers: Handlers
) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Returns the service for a gRPC server."""

    async def search(raw: bytes) -> bytes:
        return await searcher.search(search_query(parse(pb.SearchRequest, raw), settings))

    return grpc.method_handlers_generic_handler(SERVICE, {"Search": handlers.unary("Search", search)})
