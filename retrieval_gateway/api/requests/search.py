"""SearchRequest to a checked query."""

from __future__ import annotations

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests.bounds import checked_k, refuse_bulk
from retrieval_gateway.api.requests.filters import checked_filter
from retrieval_gateway.api.requests.options import (
    checked_channels,
    checked_facets,
    checked_fields,
    checked_minimum,
    checked_relevance,
)
from retrieval_gateway.api.requests.subjects import checked_subject, checked_without
from retrieval_gateway.page_token import on_page
from retrieval_gateway.query import SearchQuery
from retrieval_gateway.settings import GatewaySettings

__all__ = ["search_query"]


def search_query(request: pb.SearchRequest, settings: GatewaySettings) -> SearchQuery:
    """Checks a request against the settings' limits.

    Raises:
        InvalidInput: a field is missing, contradictory, unknown or out of bounds.
    """
    refuse_bulk(request, request.query.text, request.query.picture)
    k = checked_k(request, settings.max_k)
    query = SearchQuery(
        subject=checked_subject(request.query, settings),
        k=k,
        filter=checked_filter(request.filters),
        fields=checked_fields(request.fields),
        without=checked_without(request.query, settings),
        minimum_score=checked_minimum(request),
        per_style_group=request.per_style_group,
        facets=checked_facets(request.facets),
        explain=request.explain,
        channels=checked_channels(request, request.query.text, k),
        relevance=checked_relevance(request, request.query.text),
        bypass_cache=request.bypass_cache,
    )
    return on_page(query, request.page_token)
