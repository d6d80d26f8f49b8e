"""Page tokens: one request's next page in one release, and nothing else."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import InvalidInput
from retrieval_gateway.index.filters import AnyOf, Filter
from retrieval_gateway.page_token import next_page, on_page, read_token
from retrieval_gateway.query import RelevanceControl, SearchQuery, Words
from retrieval_gateway.ranking.ladder import DEEPEST

QUERY = SearchQuery(Words("mug"), 10, Filter(), ("title",))
TOKEN = next_page(QUERY, 20, "20261120T101500Z-3f9a1c")


def test_a_token_leads_to_its_page_of_its_release():
    page = on_page(QUERY, TOKEN)
    assert page == replace(QUERY, start=20, page_of="20261120T101500Z-3f9a1c")
    assert on_page(QUERY, next_page(page, 30, "r")).start == 30, "from page to page"
    assert on_page(QUERY, "") == QUERY


def test_a_token_says_nothing_of_what_was_asked():
    raw = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    assert b"mug" not in raw
    assert TOKEN.isascii()
    assert len(TOKEN) < 100


def test_whether_the_cache_is_asked_is_not_part_of_the_request():
    assert on_page(replace(QUERY, bypass_cache=True), TOKEN).start == 20


@pytest.mark.parametrize(
    "change",
    [
        {"subject": Words("mugs")},
        {"k": 11},
        {"fields": ()},
        {"filter": Filter((AnyOf("brand", ("oak",)),))},
        {"minimum_score": 0.1},
        {"per_style_group": 1},
        {"explain": True},
        {"facets": ("brand",)},
        {"relevance": RelevanceControl(category=True)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_request_is_refused(change):
    with pytest.raises(InvalidInput, match="made for another request") as refused:
        on_page(replace(QUERY, **change), TOKEN)
    assert refused.value.field == "page_token"
    assert "first page" in refused.value.fix


@settings(deadline=None)
@given(place=st.integers(0, len(TOKEN) - 1), letter=st.sampled_from("AZaz09-_.!é"))
def test_a_changed_letter_is_noticed(place, letter):
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises(InvalidInput) as refused:
            on_page(QUERY, changed)
        assert refused.value.field == "page_token"
        assert refused.value.fix


@settings(deadline=None)
@given(st.text(max_size=200))
def test_whatever_is_no_token_is_refused_as_none(text):
    with pytest.raises(InvalidInput, match="not a page token"):
        read_token(text)


@pytest.mark.parametrize("cut", [1, 5, 20, 40, len(TOKEN) - 1])
def test_a_torn_token_is_none(cut):
    with pytest.raises(InvalidInput, match="not a page token"):
        read_token(TOKEN[:cut])


@pytest.mark.parametrize("start", [0, DEEPEST + 1, 2**32 - 1])
def test_a_page_that_no_answer_of_ours_leads_to_is_none(start):
    with pytest.raises(InvalidInput, match="not a page token"):
        read_token(next_page(QUERY, start, "r"))
