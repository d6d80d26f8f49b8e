"""Everything that decides an answer is in its key, and nothing else."""

from dataclasses import fields, replace

import pytest

from retrieval_gateway.cache.key import encode_parts
from retrieval_gateway.index.filters import AnyOf, Filter, NoneOf, Not
from retrieval_gateway.query import (
    ChannelChoice,
    Example,
    GivenVector,
    LikeProduct,
    Picture,
    RelevanceControl,
    SearchQuery,
    SimilarQuery,
    Without,
    Words,
    WordsAndPicture,
    key_parts,
)

SEARCH = SearchQuery(Words("a"), 3, Filter(), ())
SIMILAR = SimilarQuery(LikeProduct("a"), 3, Filter(), ())
OAK = AnyOf("brand", ("oak",))

SEARCHES = {
    "subject": [
        Words("b"),
        Picture(b"a"),
        LikeProduct("a"),
        GivenVector(b"aaaa"),
        WordsAndPicture("a", b"a", 0.5),
        WordsAndPicture("a", b"a", 0.25),
        WordsAndPicture("a", b"a", None),
    ],
    "k": [4],
    "filter": [Filter((OAK,)), Filter((NoneOf("brand", ("oak",)),)), Filter((Not(Filter((OAK,))), OAK))],
    "fields": [("title",), ("title", "price"), ("price", "title")],
    "without": [Without("b", 0.5), Without("b", 0.25), Without("c", 0.5)],
    "minimum_score": [0.0, 0.5],
    "per_style_group": [1, 2],
    "facets": [("brand",), ("brand", "color")],
    "explain": [True],
    "channels": [
        ChannelChoice(("dense",)),
        ChannelChoice(("lexical",)),
        ChannelChoice(method="reciprocal_rank"),
        ChannelChoice(dense_weight=1.0),
        ChannelChoice(lexical_weight=1.0),
        ChannelChoice(dense_quota=1),
        ChannelChoice(lexical_quota=1),
    ],
    "relevance": [RelevanceControl(category=True), RelevanceControl(keywords=True)],
    "start": [3],
}
SIMILARS = {
    "subject": [LikeProduct("b"), Example("a", b""), Example("", b"a")],
    "k": [4],
    "filter": [Filter((OAK,))],
    "fields": [("title",)],
    "view": ["text", "image"],
    "suppliers": ["own", "others"],
}


@pytest.mark.parametrize(("base", "changes"), [(SEARCH, SEARCHES), (SIMILAR, SIMILARS)])
def test_every_change_of_a_query_is_another_key(base, changes):
    queries = [base, *(replace(base, **{name: value}) for name in changes for value in changes[name])]
    keys = {encode_parts(key_parts(query)) for query in queries}
    assert len(keys) == len(queries)


@pytest.mark.parametrize(("base", "changes"), [(SEARCH, SEARCHES), (SIMILAR, SIMILARS)])
def test_no_field_is_forgotten_here(base, changes):
    """A field that is added must be changed above, or be named here as one that decides nothing."""
    undeciding = {"bypass_cache", "page_of"}
    assert {field.name for field in fields(base)} - undeciding == set(changes)


def test_what_decides_nothing_is_no_part_of_the_key():
    """A page's release stands in the key already: another one is refused before."""
    assert key_parts(replace(SEARCH, bypass_cache=True, page_of="r")) == key_parts(SEARCH)


def test_a_search_is_not_what_is_similar():
    search = replace(SEARCH, subject=LikeProduct("a"))
    assert encode_parts(key_parts(search)) != encode_parts(key_parts(SIMILAR))


def test_equal_filters_are_one_key():
    twice = Filter((OAK, AnyOf("brand", ("OAK ",))))
    assert key_parts(replace(SEARCH, filter=twice)) == key_parts(replace(SEARCH, filter=Filter((OAK,))))
