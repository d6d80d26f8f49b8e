"""SearchSimilarRequest to a checked query."""

from __future__ import annotations

from typing import Literal

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests.bounds import checked_k, refuse_bulk
from retrieval_gateway.api.requests.filters import checked_filter
from retrieval_gateway.api.requests.options import checked_fields
from retrieval_gateway.api.requests.subjects import checked_picture, checked_text
from retrieval_gateway.query import Example, LikeProduct, SimilarQuery, View
from retrieval_gateway.settings import GatewaySettings

__all__ = ["similar_query"]

_VIEWS: dict[int, View | None] = {
    pb.VIEW_UNSPECIFIED: None,
    pb.VIEW_BOTH: None,
    pb.VIEW_TEXT: "text",
    pb.VIEW_IMAGE: "image",
}
_SCOPES: dict[int, Literal["all", "others", "own"]] = {
    pb.SUPPLIER_SCOPE_UNSPECIFIED: "all",
    pb.SUPPLIER_SCOPE_OTHERS: "others",
    pb.SUPPLIER_SCOPE_OWN: "own",
}
_NEEDS = {pb.VIEW_TEXT: ("text",), pb.VIEW_IMAGE: ("picture",), pb.VIEW_BOTH: ("text", "picture")}


def similar_query(request: pb.SearchSimilarRequest, settings: GatewaySettings) -> SimilarQuery:
    """Checks a request against the settings' limits.

    Raises:
        InvalidInput: a field is missing, contradictory, unknown or out of bounds.
    """
    refuse_bulk(request, request.text, request.picture)
    subject = _subject(request, settings)
    return SimilarQuery(
        subject=subject,
        k=checked_k(request, settings.max_k),
        filter=checked_filter(request.filters),
        fields=checked_fields(request.fields),
        view=_view(request),
        suppliers=_suppliers(request, subject),
        bypass_cache=request.bypass_cache,
    )


def _subject(request: pb.SearchSimilarRequest, settings: GatewaySettings) -> LikeProduct | Example:
    shown = [name for name in ("text", "picture") if getattr(request, name)]
    if bool(request.product_id) == bool(shown):
        given = ["product_id", *shown] if shown else None
        raise InvalidInput(
            "either a product of the release or one that is shown",
            field="product_id",
            value=given,
            fix="Give product_id, or text and picture (one of them or both).",
        )
    if request.product_id:
        return LikeProduct(request.product_id)
    return Example(
        checked_text(request.text, settings, "text") if request.text else "",
        checked_picture(request.picture, settings, "picture"),
    )


def _view(request: pb.SearchSimilarRequest) -> View | None:
    if request.view not in _VIEWS:
        raise InvalidInput(
            "unknown view", field="view", value=request.view, fix="Use VIEW_TEXT, VIEW_IMAGE or VIEW_BOTH."
        )
    for name in _NEEDS.get(request.view, ()):
        if not request.product_id and not getattr(request, name):
            raise InvalidInput(
                f"this view needs a {name}",
                field="view",
                value=pb.View.Name(request.view),
                fix=f"Give {name}, or another view.",
            )
    return _VIEWS[request.view]


def _suppliers(
    request: pb.SearchSimilarRequest, subject: LikeProduct | Example
) -> Literal["all", "others", "own"]:
    if request.suppliers not in _SCOPES:
        raise InvalidInput(
            "unknown scope",
            field="suppliers",
            value=request.suppliers,
            fix="Use SUPPLIER_SCOPE_OTHERS or SUPPLIER_SCOPE_OWN.",
        )
    scope = _SCOPES[request.suppliers]
    if scope != "all" and isinstance(subject, Example):
        raise InvalidInput(
            "whose own supplier is not known without a product of the release",
            field="suppliers",
            value=pb.SupplierScope.Name(request.suppliers),
            fix="Give product_id, or filter by supplier.",
        )
    return scope
