"""Requests for similar products: what is accepted, and every refusal by its field."""

import pytest

from faults import InvalidInput
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.requests import similar_query
from retrieval_gateway.index.filters import AnyOf, Filter
from retrieval_gateway.query import Example, LikeProduct, SimilarQuery
from retrieval_gateway.settings import GatewaySettings

SETTINGS = GatewaySettings(max_k=50, max_query_characters=20, max_picture_bytes=100)


def checked(**fields) -> SimilarQuery:
    return similar_query(pb.SearchSimilarRequest(**fields), SETTINGS)


def test_a_product_is_compared_by_all_there_is_with_everybodys():
    assert checked(product_id="p") == SimilarQuery(LikeProduct("p"), 10, Filter(), ())


def test_what_is_shown_may_be_a_title_a_picture_or_both():
    assert checked(text=" Red MUG").subject == Example("red mug", b"")
    assert checked(picture=b"j").subject == Example("", b"j")
    assert checked(text="mug", picture=b"j", view=pb.VIEW_BOTH).subject == Example("mug", b"j")


@pytest.mark.parametrize(
    ("view", "expected"),
    [(pb.VIEW_TEXT, "text"), (pb.VIEW_IMAGE, "image"), (pb.VIEW_BOTH, None), (pb.VIEW_UNSPECIFIED, None)],
)
def test_views(view, expected):
    assert checked(product_id="p", view=view).view == expected
    assert checked(text="mug", picture=b"j", view=view).view == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (pb.SUPPLIER_SCOPE_UNSPECIFIED, "all"),
        (pb.SUPPLIER_SCOPE_OTHERS, "others"),
        (pb.SUPPLIER_SCOPE_OWN, "own"),
    ],
)
def test_suppliers(scope, expected):
    assert checked(product_id="p", suppliers=scope).suppliers == expected


def test_what_else_is_asked_for():
    brand = pb.Filter(field="brand", any_of=pb.Values(values=["Oak"]))
    query = checked(product_id="p", k=7, filters=[brand], fields=["title"], bypass_cache=True)
    assert (query.k, query.fields, query.bypass_cache) == (7, ("title",), True)
    assert query.filter == Filter((AnyOf("brand", ("oak",)),))


REFUSALS = {
    "nothing": ({}, "product_id", "Give product_id, or text and picture"),
    "a product and a picture": (
        {"product_id": "p", "picture": b"j"},
        "product_id",
        "['product_id', 'picture']",
    ),
    "a product and a title": ({"product_id": "p", "text": "mug"}, "product_id", "'text'"),
    "white space": ({"text": " "}, "text", "Give words"),
    "a long title": ({"text": "x" * 21}, "text", "21 characters"),
    "a large picture": ({"picture": b"x" * 101}, "picture", "101 bytes"),
    "the picture of a title": (
        {"text": "mug", "view": pb.VIEW_IMAGE},
        "view",
        "'VIEW_IMAGE') Fix: Give picture",
    ),
    "the title of a picture": ({"picture": b"j", "view": pb.VIEW_TEXT}, "view", "needs a text"),
    "both of one": ({"picture": b"j", "view": pb.VIEW_BOTH}, "view", "needs a text"),
    "an unknown view": ({"product_id": "p", "view": 7}, "view", "7) Fix: Use VIEW_TEXT"),
    "an unknown scope": ({"product_id": "p", "suppliers": 3}, "suppliers", "3) Fix: Use SUPPLIER_SCOPE"),
    "whose own": ({"text": "mug", "suppliers": pb.SUPPLIER_SCOPE_OWN}, "suppliers", "'SUPPLIER_SCOPE_OWN'"),
    "k of 0": ({"product_id": "p", "k": 0}, "k", "Give 1 to 50"),
    "an unknown field": ({"product_id": "p", "fields": ["weight"]}, "fields[0]", "'weight'"),
    "a filter": ({"product_id": "p", "filters": [pb.Filter(field="brand")]}, "filters[0]", "no condition"),
    "a mountain of bytes": ({"product_id": "p" * 70_000}, "request", "Send at most 65536"),
}


@pytest.mark.parametrize(("fields", "field", "part"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_field_value_and_fix(fields, field, part):
    with pytest.raises(InvalidInput) as refused:
        checked(**fields)
    assert refused.value.field == field
    assert part in str(refused.value)
    assert refused.value.fix
