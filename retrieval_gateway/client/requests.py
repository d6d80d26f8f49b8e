"""What is asked: a search, or a search for products like one.

Both are plain values, so that they can be kept, compared, and sent in a batch. What the fields mean
stands in ``retrieval_service.proto``; whether they fit each other is the gateway's to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client.filters import Filter, filter_message
from retrieval_gateway.client.options import ChannelOptions, Mixing, RelevanceControl, SupplierScope, View

__all__ = [
    "SearchOptions",
    "SearchRequest",
    "SimilarOptions",
    "SimilarRequest",
    "search_message",
    "search_request",
    "similar_message",
    "similar_request",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One search: words, a picture, both, a product, or a vector.

    Args:
        text: words.
        picture: a JPEG, PNG or WebP file.
        product_id: more like this product of the release.
        vector: numbers of the release's dimension.
        without: words that the products should not be about.
        without_weight: 0 to 2; 0.5 if None.
        mixing: how words and picture become one vector.
        picture_weight: the picture's share, 0 to 1; 0.5 if None.
        k: how many products; 10 if None.
        filters: all of them must hold.
        fields: product fields to return beside the ids.
        bypass_cache: neither read nor fill the cache.
        page_token: ``SearchReply.next_page_token`` of the page before.
        minimum_score: hits below it are left out.
        per_style_group: at most so many products of one style group; 0 does not collapse.
        facets: fields whose values are counted.
        explain: tell how each hit was found.
        channels: which channels to ask and how to merge them.
        relevance_control: what to leave out although it is near.
    """

    text: str = ""
    picture: bytes = b""
    product_id: str = ""
    vector: Sequence[float] = ()
    without: str = ""
    without_weight: float | None = None
    mixing: Mixing = Mixing.UNSPECIFIED
    picture_weight: float | None = None
    k: int | None = None
    filters: Sequence[Filter] = ()
    fields: Sequence[str] = ()
    bypass_cache: bool = False
    page_token: str = ""
    minimum_score: float | None = None
    per_style_group: int = 0
    facets: Sequence[str] = ()
    explain: bool = False
    channels: ChannelOptions | None = None
    relevance_control: RelevanceControl | None = None


class SearchOptions(TypedDict, total=False):
    """The fields of a ``SearchRequest`` but its words, as keywords of ``search``."""

    picture: bytes
    product_id: str
    vector: Sequence[float]
    without: str
    without_weight: float | None
    mixing: Mixing
    picture_weight: float | None
    k: int | None
    filters: Sequence[Filter]
    fields: Sequence[str]
    bypass_cache: bool
    page_token: str
    minimum_score: float | None
    per_style_group: int
    facets: Sequence[str]
    explain: bool
    channels: ChannelOptions | None
    relevance_control: RelevanceControl | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarRequest:
    """Products like one product of the release, or like a text, a picture or both.

    Args:
        product_id: this, or text and picture.
        text: words of the product.
        picture: a JPEG, PNG or WebP file.
        view: by what it is to be similar.
        k: most products of either section; 10 if None.
        filters: all of them must hold.
        fields: product fields to return beside the ids.
        suppliers: whose products; needs a product_id.
        bypass_cache: neither read nor fill the cache.
        explain: tell how each hit was found.
    """

    product_id: str = ""
    text: str = ""
    picture: bytes = b""
    view: View = View.UNSPECIFIED
    k: int | None = None
    filters: Sequence[Filter] = ()
    fields: Sequence[str] = ()
    suppliers: SupplierScope = SupplierScope.UNSPECIFIED
    bypass_cache: bool = False
    explain: bool = False


class SimilarOptions(TypedDict, total=False):
    """The fields of a ``SimilarRequest`` but its product, as keywords of ``search_similar``."""

    text: str
    picture: bytes
    view: View
    k: int | None
    filters: Sequence[Filter]
    fields: Sequence[str]
    suppliers: SupplierScope
    bypass_cache: bool
    explain: bool


def search_request(query: str | SearchRequest, options: SearchOptions) -> SearchRequest:
    """Returns the request of a client's arguments: options replace the fields of a given one."""
    given = SearchRequest(text=query) if isinstance(query, str) else query
    return replace(given, **options)


def similar_request(product: str | SimilarRequest, options: SimilarOptions) -> SimilarRequest:
    """Returns the request of a client's arguments: options replace the fields of a given one."""
    given = SimilarRequest(product_id=product) if isinstance(product, str) else product
    return replace(given, **options)


def search_message(given: SearchRequest) -> pb.SearchRequest:
    """Returns a search as the gateway reads it.

    Raises:
        InvalidInput: a value that no request can carry, such as a negative k.
    """
    try:
        return pb.SearchRequest(
            query=_query(given),
            k=given.k,
            filters=[filter_message(one) for one in given.filters],
            fields=given.fields,
            bypass_cache=given.bypass_cache,
            page_token=given.page_token,
            minimum_score=given.minimum_score,
            per_style_group=given.per_style_group,
            facets=given.facets,
            explain=given.explain,
            channels=given.channels.message() if given.channels is not None else None,
            relevance_control=given.relevance_control.message() if given.relevance_control else None,
        )
    except (TypeError, ValueError) as error:
        raise _unsendable(error) from error


def similar_message(given: SimilarRequest) -> pb.SearchSimilarRequest:
    """Returns a search for similar products as the gateway reads it; raises as ``search_message``."""
    try:
        return pb.SearchSimilarRequest(
            product_id=given.product_id,
            text=given.text,
            picture=given.picture,
            view=pb.View.ValueType(given.view),
            k=given.k,
            filters=[filter_message(one) for one in given.filters],
            fields=given.fields,
            suppliers=pb.SupplierScope.ValueType(given.suppliers),
            bypass_cache=given.bypass_cache,
            explain=given.explain,
        )
    except (TypeError, ValueError) as error:
        raise _unsendable(error) from error


def _query(given: SearchRequest) -> pb.Query:
    return pb.Query(
        text=given.text,
        picture=given.picture,
        product_id=given.product_id,
        vector=[float(number) for number in given.vector],
        without=given.without,
        without_weight=given.without_weight,
        mixing=pb.Mixing.ValueType(given.mixing),
        picture_weight=given.picture_weight,
    )


def _unsendable(error: Exception) -> InvalidInput:
    return InvalidInput(
        f"a value cannot be sent: {error}", field="request", fix="Give values of the field's type and range."
    )
