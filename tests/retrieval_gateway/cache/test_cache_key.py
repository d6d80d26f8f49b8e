"""Keys: equal requests share one, and nothing else does."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faults
from retrieval_gateway.cache import cache_key
from retrieval_gateway.cache.key import encode_parts, release_prefix, request_of

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=6)
    | st.binary(max_size=6)
)
PARTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def shape(part: Any) -> Any:
    """What a part means: its types and values, with 0.0 and -0.0 as one."""
    if isinstance(part, dict):
        return ("m", frozenset((name, shape(value)) for name, value in part.items()))
    if isinstance(part, list | tuple):
        return ("l", tuple(shape(item) for item in part))
    return (type(part).__name__, part)


@given(PARTS, PARTS)
def test_encodings_are_equal_exactly_when_the_parts_are(one: Any, other: Any) -> None:
    assert (encode_parts(one) == encode_parts(other)) == (shape(one) == shape(other))


def test_moving_text_between_fields_changes_the_key() -> None:
    keys = {
        cache_key("r1", {"query": "a|b", "filter": ""}),
        cache_key("r1", {"query": "a", "filter": "|b"}),
        cache_key("r1", {"query": "a", "filter": "b"}),
        cache_key("r1", {"query": ["a", "b"]}),
        cache_key("r1", {"query": ["ab"]}),
        cache_key("r1", {"query": [["a"], "b"]}),
        cache_key("r1", {"query": ["a", ["b"]]}),
        cache_key("r2", {"query": "a", "filter": "b"}),
    }
    assert len(keys) == 8


def test_types_that_python_calls_equal_differ() -> None:
    values: list[Any] = [1, 1.0, True, "1", b"1", [1]]
    assert len({cache_key("r", {"k": value}) for value in values}) == len(values)


def test_order_of_names_does_not_matter_and_the_release_is_readable() -> None:
    key = cache_key("20261120T101500Z-abcdef", {"a": 1, "b": 2})
    assert key == cache_key("20261120T101500Z-abcdef", {"b": 2, "a": 1})
    prefix, release, digest = key.split(":")
    assert (prefix, release, len(digest)) == ("vitrine", "20261120T101500Z-abcdef", 40)


def test_a_request_keeps_its_name_over_a_switch_of_releases() -> None:
    one, other = (cache_key(release, {"query": "mug"}) for release in ("r1", "r2"))
    assert request_of(one) == request_of(other) != request_of(cache_key("r1", {"query": "cup"}))
    assert one.startswith(release_prefix("r1"))
    assert not one.startswith(release_prefix("r"))


def test_the_key_is_the_same_in_every_process_and_version() -> None:
    # If this changes, gateways of two versions stop sharing answers: say so in the changelog.
    parts: dict[str, Any] = {"q": "red shoe", "k": 10, "filter": [], "like": None, "w": 0.5}
    assert cache_key("r", parts) == "vitrine:r:8daeab51e2e8ccbc037fdea2afd0f73449989fee"


@pytest.mark.parametrize("value", [math.nan, object(), {1, 2}])
def test_what_has_no_canonical_form_is_our_bug(value: Any) -> None:
    with pytest.raises(faults.InternalError):
        cache_key("r", {"x": value})
