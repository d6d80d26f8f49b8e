"""One search from checked query to reply, on a real release with a Triton in memory."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from support.small_releases import MAX_QUERY_TOKENS, PRODUCTS, SmallShop, jpeg

from catalog.keyword_table import KeywordTable
from catalog.pictures import PictureLimits
from faults import InvalidInput, Mismatch, NotFound, Overloaded, Unavailable
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.cache import FakeSharedTier, MemoryTier, ResponseCache, TallyCounters
from retrieval_gateway.index.filters import AnyOf, Equals, Filter, NoneOf, Range
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.query import ChannelChoice, LikeProduct, Picture, SearchQuery, Words
from retrieval_gateway.searcher import Searcher

IDS = [product.product_id for product in PRODUCTS]


class OneRelease:
    """Follows nothing: serves the release that it is given."""

    def __init__(self, release) -> None:
        self.release = release

    @contextlib.contextmanager
    def current(self):
        yield self.release


class Bench:
    def __init__(self, shop: SmallShop, release) -> None:
        self.shop, self.release = shop, release
        self.follower = OneRelease(release)
        self.executor = ThreadPoolExecutor(2)
        self.metrics = Metrics()
        self.memory, self.shared = MemoryTier(10**6), FakeSharedTier()
        self.cache = ResponseCache(self.memory, self.shared, TallyCounters())
        self.searcher = Searcher(self.follower, self.cache, self.executor, self.metrics)

    async def search(self, subject, k=3, filters=(), fields=(), **more) -> pb.SearchResponse:
        query = SearchQuery(subject, k, Filter(tuple(filters)), tuple(fields), **more)
        return pb.SearchResponse.FromString(await self.searcher.search(query))

    def answered(self, source: str) -> float:
        return self.metrics.registry.get_sample_value("vitrine_cache_answers_total", {"source": source}) or 0

    def scores(self, vector) -> dict[str, float]:
        """The exact answer, by product."""
        return dict(zip(IDS, np.asarray(self.release.vectors) @ vector, strict=True))


@pytest.fixture
async def bench(tmp_path):
    shop = SmallShop(tmp_path)
    manifest = await shop.publish(1)
    shop.triton.load_everything()
    bench = Bench(shop, shop.load(manifest.release_id))
    yield bench
    await bench.cache.close()
    bench.executor.shutdown()


def best(scores: dict[str, float], k: int) -> list[str]:
    return sorted(scores, key=lambda product_id: -scores[product_id])[:k]


async def test_the_nearest_products_with_their_cosines(bench):
    reply = await bench.search(Words("red mug"), k=5, channels=ChannelChoice(("dense",)))
    encoder = bench.release.encoder
    exact = bench.scores(await encoder.encode_words(encoder.tokenise("red mug")))
    assert list(reply.product_ids) == best(exact, 5)
    assert list(reply.scores) == pytest.approx([exact[one] for one in reply.product_ids], abs=1e-6)
    assert list(reply.text_weights) == [0.5] * 5
    assert reply.release_id == bench.release.release_id
    assert reply.cache_source == pb.CACHE_SOURCE_COMPUTED
    assert min(reply.timings.preprocess_us, reply.timings.encode_us, reply.timings.search_us) > 0
    assert not reply.degradations


async def test_the_same_words_again_come_from_the_cache_and_ask_nobody(bench):
    first = await bench.search(Words("red mug"), fields=("title", "price"))
    asked = len(bench.shop.triton.calls)
    second = await bench.search(Words("red mug"), fields=("title", "price"))
    assert len(bench.shop.triton.calls) == asked
    assert second.cache_source == pb.CACHE_SOURCE_MEMORY
    assert (second.timings.encode_us, second.timings.search_us) == (0, 0)
    assert without_trailer(second) == without_trailer(first)
    assert (bench.answered("computed"), bench.answered("memory")) == (1, 1)


async def test_what_another_gateway_stored_is_used(bench):
    first = await bench.search(Words("red mug"))
    await asyncio.sleep(0.01)
    bench.memory.clear()
    second = await bench.search(Words("red mug"))
    assert second.cache_source == pb.CACHE_SOURCE_REDIS
    assert without_trailer(second) == without_trailer(first)


def without_trailer(reply: pb.SearchResponse) -> pb.SearchResponse:
    body = pb.SearchResponse.FromString(reply.SerializeToString())
    body.ClearField("cache_source")
    body.ClearField("timings")
    return body


async def test_equal_searches_at_once_are_computed_once(bench):
    replies = await asyncio.gather(*(bench.search(Words("blue shoe")) for _ in range(10)))
    assert len(bench.shop.triton.calls) == 1
    assert (
        sorted(reply.cache_source for reply in replies)
        == [pb.CACHE_SOURCE_COMPUTED] + [pb.CACHE_SOURCE_SHARED_FLIGHT] * 9
    )


async def test_bypassing_neither_reads_nor_fills_the_cache(bench):
    for _ in range(2):
        assert (await bench.search(Words("lamp"), bypass_cache=True)).cache_source == pb.CACHE_SOURCE_COMPUTED
    assert len(bench.shop.triton.calls) == 2
    assert len(bench.memory) == 0
    assert (await bench.search(Words("lamp"))).cache_source == pb.CACHE_SOURCE_COMPUTED


async def test_like_a_product_is_never_itself_and_asks_no_tower(bench):
    reply = await bench.search(LikeProduct("mug-red"), k=7)
    exact = bench.scores(bench.release.vectors[IDS.index("mug-red")])
    del exact["mug-red"]
    assert list(reply.product_ids) == best(exact, 7)
    assert not reply.degradations, "k others are there"
    assert bench.shop.triton.calls == []
    assert list((await bench.search(LikeProduct("mug-red"), k=8)).degradations) == [
        pb.DEGRADATION_FEWER_THAN_K
    ]


async def test_like_a_product_that_the_filter_excludes_still_gives_k(bench):
    reply = await bench.search(LikeProduct("mug-red"), k=2, filters=[AnyOf("brand", ("swift",))])
    assert set(reply.product_ids) == {"shoe-red", "shoe-blue"}
    assert not reply.degradations


async def test_an_unknown_product_is_not_found(bench):
    with pytest.raises(NotFound, match=r"query\.product_id: no such product in release .*'mug-green'"):
        await bench.search(LikeProduct("mug-green"))
    assert len(bench.memory) == 0


async def test_a_products_own_picture_finds_what_looks_like_it(bench):
    reply = await bench.search(Picture(jpeg("green", (33, 33))), k=8)
    assert reply.product_ids[0] == "nameless", "the only green one, and without a word"
    assert reply.timings.preprocess_us > 0
    assert [model for model, _, _ in bench.shop.triton.calls] == ["product_tower"]


@pytest.mark.parametrize(
    "data", [b"no picture", jpeg("red")[:-30], jpeg("red", (70, 70))], ids=["junk", "torn", "large"]
)
async def test_a_picture_that_cannot_be_used_is_refused_by_its_field(bench, data):
    bench.follower.release = bench.shop.load(bench.release.release_id, PictureLimits(max_pixels=4000))
    with pytest.raises(InvalidInput) as refused:
        await bench.search(Picture(data))
    assert refused.value.field == "query.picture"
    assert refused.value.fix
    assert bench.shop.triton.calls == []


FILTERS = {
    "any of": ([AnyOf("brand", ("LUMA",))], {"mug-red", "mug-blue"}),
    "a missing value is none of them": (
        [NoneOf("brand", ("luma", "swift"))],
        {"mug-plain", "plate", "lamp", "nameless"},
    ),
    "a missing price is in no range": ([Range("price", None, 15.0)], {"mug-red", "mug-blue", "nameless"}),
    "both ends belong": ([Range("price", 12.0, 20.0)], {"mug-blue", "plate"}),
    "missing is neither true": ([Equals("in_stock", True)], {"mug-red", "plate", "lamp"}),
    "nor false": ([Equals("in_stock", False)], {"mug-blue"}),
    "part of a path": ([AnyOf("category", ("mugs",))], {"mug-red", "mug-blue", "mug-plain"}),
    "all must hold": (
        [AnyOf("category", ("kitchen",)), NoneOf("color", ("red",))],
        {"mug-blue", "mug-plain", "plate"},
    ),
    "nothing fits": ([AnyOf("brand", ("nobody",))], set()),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
async def test_filters(bench, filters, expected):
    reply = await bench.search(Words("mug"), k=8, filters=filters)
    assert set(reply.product_ids) == expected
    assert list(reply.scores) == sorted(reply.scores, reverse=True)
    assert list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]


async def test_cut_words_are_said_to_be_cut(bench):
    reply = await bench.search(Words("m " * 50))
    assert list(reply.degradations) == [pb.DEGRADATION_QUERY_TRUNCATED]
    assert list((await bench.search(Words("m " * 50))).degradations) == [pb.DEGRADATION_QUERY_TRUNCATED]


async def test_errors_are_not_cached(bench):
    bench.shop.triton.away = True
    with pytest.raises(Unavailable):
        await bench.search(Picture(jpeg("red")))
    bench.shop.triton.away = False
    assert (await bench.search(Picture(jpeg("red")))).cache_source == pb.CACHE_SOURCE_COMPUTED


async def test_a_dead_triton_leaves_what_needs_no_tower(bench):
    await bench.search(Words("red mug"))
    bench.shop.triton.away = True
    assert (await bench.search(Words("red mug"))).cache_source == pb.CACHE_SOURCE_MEMORY
    assert len((await bench.search(LikeProduct("lamp"))).product_ids) == 3
    new = await bench.search(Words("blue mug"))
    assert new.product_ids[0] == "mug-blue"
    assert list(new.degradations) == [pb.DEGRADATION_DENSE_CHANNEL_FAILED]


async def test_a_computation_takes_a_place_and_a_cached_answer_none(bench):
    places: list[str] = []

    @contextlib.contextmanager
    def place():
        places.append("taken")
        yield

    searcher = Searcher(bench.follower, bench.cache, bench.executor, bench.metrics, place)
    query = SearchQuery(Words("red mug"), 3, Filter(), ())
    for _ in range(3):
        await searcher.search(query)
    assert places == ["taken"]
    await searcher.search(replace(query, bypass_cache=True))
    assert places == ["taken"] * 2


async def test_no_place_is_no_answer_and_nothing_is_kept(bench):
    def full():
        raise Overloaded("too many", retry_after_s=0.1)

    searcher = Searcher(bench.follower, bench.cache, bench.executor, bench.metrics, full)
    with pytest.raises(Overloaded):
        await searcher.search(SearchQuery(Words("red mug"), 3, Filter(), ()))
    assert bench.shop.triton.calls == []
    assert len(bench.memory) == 0


async def test_a_release_is_warmed_before_it_serves(bench):
    query = SearchQuery(Words("red mug"), 3, Filter(), ())
    await bench.searcher.prewarm(query, bench.release)
    assert bench.answered("computed") == 0, "nobody has asked"
    assert (await bench.search(Words("red mug"))).cache_source == pb.CACHE_SOURCE_MEMORY


async def test_a_release_with_keywords_gives_them_to_its_query_tower(tmp_path):
    """They travel in the release: published, verified by their hash, loaded, read beside the words."""
    shop = SmallShop(tmp_path)
    shop.triton.load_everything()
    table = KeywordTable({"mug": ("red", "stoneware")})
    manifest = await shop.publish(1, table)
    assert manifest.keyword_table in manifest.files
    encoder = shop.load(manifest.release_id).encoder
    assert encoder.tokenise("Mug").ids == shop.tokenizer.encode(["mug, red stoneware"], MAX_QUERY_TOKENS)[0]
    path = shop.store.path(manifest.release_id) / str(manifest.keyword_table)
    path.write_bytes(KeywordTable({"mug": ("blue",)}).to_json())
    with pytest.raises(Mismatch):
        shop.load(manifest.release_id)
