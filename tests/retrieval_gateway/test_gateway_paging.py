"""Pages of one ranking: disjoint, without gaps, and together what one deep answer is."""

import dataclasses

import numpy as np
import pytest
from support.made_releases import RELEASE, MadeEncoder, Searching, made_release, unit_vectors

from faults import Mismatch
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.filters import Filter
from retrieval_gateway.page_token import on_page
from retrieval_gateway.query import ChannelChoice, LikeProduct, RelevanceControl, SearchQuery, Words

COUNT = 1500
WORDS = ("red", "blue", "mug", "shoe", "lamp")
COLUMNS = {
    "title": [
        " ".join(WORDS[place] for place in range(5) if row >> place & 1) or "thing" for row in range(COUNT)
    ],
    "category": [("kitchen", "shoes", "home", "")[row % 4] for row in range(COUNT)],
    "style_group": [f"s{row // 3}" if row % 2 else "" for row in range(COUNT)],
}
OPTIONS = {
    "dense": {"channels": ChannelChoice(("dense",))},
    "lexical": {"channels": ChannelChoice(("lexical",))},
    "both": {},
    "both, by scores": {"channels": ChannelChoice(method="weighted_scores")},
    "collapsed": {"per_style_group": 1},
    "controlled": {"relevance": RelevanceControl(category=True)},
    "bounded": {"minimum_score": 0.003},
    "counted": {"facets": ("category",)},
}


@pytest.fixture(params=["exact", "approximate"])
def searching(tmp_path, request):
    encoder = MadeEncoder({"red mug": unit_vectors(1, seed=7)[0]})
    release = made_release(tmp_path, unit_vectors(COUNT), COLUMNS, encoder, kind=request.param)
    with Searching(release) as searching:
        yield searching


async def pages(searching: Searching, k: int, most: int, **options) -> list[pb.SearchResponse]:
    """Turns pages as a shopper does, until there are no more."""
    first = SearchQuery(Words("red mug"), k, **{"filter": Filter(), "fields": (), **options})
    found, token = [], ""
    while len(found) < most:
        raw = await searching.searcher.search(on_page(first, token))
        found.append(pb.SearchResponse.FromString(raw))
        token = found[-1].next_page_token
        if not token:
            break
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_pages_are_disjoint_and_together_one_deep_answer(searching, options):
    """Across the edges of several rungs: 128, 512 and 2,048 of each channel."""
    turned = await pages(searching, k=97, most=8, **options)
    assert all(set(page.degradations) <= {pb.DEGRADATION_FEWER_THAN_K} for page in turned)
    ids = [product_id for page in turned for product_id in page.product_ids]
    scores = [score for page in turned for score in page.scores]
    assert len(set(ids)) == len(ids) > 3 * 97
    deep = await searching.search(Words("red mug"), k=len(ids), **options)
    assert list(deep.product_ids) == ids
    assert list(deep.scores) == scores


async def test_a_page_knows_whether_another_one_follows(searching):
    options = {"channels": ChannelChoice(("dense",))}
    turned = await pages(searching, k=500, most=10, **options)
    assert [len(page.product_ids) for page in turned] == [500, 500, 500]
    assert [bool(page.next_page_token) for page in turned] == [True, True, False]
    assert not any(page.degradations for page in turned), "the last page is full as well"
    uneven = await pages(searching, k=800, most=10, **options)
    assert [len(page.product_ids) for page in uneven] == [800, 700]
    assert list(uneven[1].degradations) == [pb.DEGRADATION_FEWER_THAN_K]


async def test_facets_are_the_same_on_every_page_of_a_rung(searching):
    first, second = await pages(searching, k=10, most=2, facets=("category", "brand"))
    assert first.facets == second.facets
    category, brand = first.facets
    assert category.of >= 128
    assert sum(category.counts) + category.missing == category.of
    assert (list(brand.values), brand.missing) == ([], brand.of)


async def test_effort_grows_with_depth(searching):
    index = searching.release.index
    for k, deepest in ((10, 128), (300, 512), (1200, 2048)):
        index.depths.clear()
        await searching.search(Words("red mug"), k=k, bypass_cache=True)
        assert index.depths[-1] == deepest


async def test_an_exact_channel_alone_is_asked_for_the_page_and_no_more(searching):
    index = searching.release.index
    await searching.search(Words("red mug"), k=10, channels=ChannelChoice(("dense",)))
    assert index.depths == ([11] if index.kind == "exact" else [128])


async def test_a_page_of_another_release_is_refused(searching):
    (first,) = await pages(searching, k=10, most=1)
    manifest = searching.release.manifest
    other = type(manifest)(**{**vars(manifest), "release_id": "20261121T000000Z-000000"})
    searching.release = dataclasses.replace(searching.release, manifest=other)
    query = SearchQuery(Words("red mug"), 10, Filter(), ())
    with pytest.raises(Mismatch, match=rf"20261121T000000Z-000000.*{RELEASE}") as refused:
        await searching.searcher.search(on_page(query, first.next_page_token))
    assert "without a page_token" in refused.value.fix


async def test_pages_are_cached_like_first_pages(searching):
    first = SearchQuery(Words("red mug"), 10, Filter(), ())
    token = (await searching.search(Words("red mug"))).next_page_token
    sources = []
    for _ in range(2):
        reply = pb.SearchResponse.FromString(await searching.searcher.search(on_page(first, token)))
        sources.append(reply.cache_source)
    assert sources == [pb.CACHE_SOURCE_COMPUTED, pb.CACHE_SOURCE_MEMORY]


async def test_paging_ends_where_over_fetching_does(tmp_path, monkeypatch):
    """A bound that a test can reach: the rule is the same."""
    monkeypatch.setattr("retrieval_gateway.ranked_search.DEEPEST", 30)
    with Searching(made_release(tmp_path, unit_vectors(100), {})) as searching:
        assert (await searching.search(LikeProduct("p0"), k=29)).next_page_token
        assert not (await searching.search(LikeProduct("p0"), k=30)).next_page_token
        searching.release.index.depths.clear()
        last = await searching.search(LikeProduct("p0"), k=20, start=25)
        assert len(last.product_ids) == 5
        assert list(last.degradations) == [pb.DEGRADATION_FEWER_THAN_K]
        assert searching.release.index.depths == [31], "no late page costs more than a first one may"


async def test_nine_thousand_six_hundred_products_in_one_reply(tmp_path):
    count = 10_000
    vectors = unit_vectors(count)
    with Searching(made_release(tmp_path, vectors, {"brand": ["Oak"] * count})) as searching:
        reply = await searching.search(LikeProduct("p7"), k=9600, fields=("brand",), per_style_group=1)
    exact = np.einsum("nd,d->n", vectors, vectors[7])
    exact[7] = -2
    assert list(reply.product_ids) == [f"p{row}" for row in np.argsort(-exact, kind="stable")[:9600]]
    assert len(reply.columns[0].texts) == 9600
    assert not reply.degradations
