"""Which channels are asked, what their hits say of them, and what happens when one fails."""

import asyncio

import numpy as np
import pytest
from support.fake_lexical import FakeLexical
from support.made_releases import PLAN, MadeEncoder, Searching, made_release, unit_vectors
from support.small_releases import jpeg

from faults import InvalidInput, Mismatch, Unavailable
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.asked_channels import plan_of
from retrieval_gateway.channels.merging import MergePlan
from retrieval_gateway.index.filters import AnyOf, Filter
from retrieval_gateway.query import ChannelChoice, LikeProduct, Picture, Without, Words

TITLES = ["red mug", "blue mug", "red shoe", "lamp", "white plate", "red striped mug"]
COLUMNS = {"title": TITLES, "brand": ["Oak", "Oak", "Swift", "", "Oak", "Luma"]}
DENSE, LEXICAL = pb.CHANNEL_DENSE, pb.CHANNEL_LEXICAL


@pytest.fixture
def searching(tmp_path):
    vectors = np.eye(8, dtype=np.float32)[:6]
    towards_shoes = vectors[2] * 0.8 + vectors[3] * 0.6
    encoder = MadeEncoder({"red mug": towards_shoes, "zebra": towards_shoes, "striped": vectors[5]})
    with Searching(made_release(tmp_path, vectors, COLUMNS, encoder)) as searching:
        yield searching


def lexical(searching: Searching) -> FakeLexical:
    return searching.release.lexical


async def test_words_ask_all_channels_and_each_hit_tells_its_own(searching):
    reply = await searching.search(Words("red mug"), k=6)
    found = dict(zip(reply.product_ids, zip(reply.channels, reply.only_channel, strict=True), strict=True))
    assert set(found) == {f"p{row}" for row in range(6)}
    assert found["p3"] == (DENSE, True), "no word of the query is in its title"
    assert found["p2"] == (DENSE, False), "first there, third here"
    assert found["p0"] == (LEXICAL, False)
    assert list(reply.scores) == sorted(reply.scores, reverse=True)
    assert reply.timings.lexical_us > 0
    assert not reply.degradations


async def test_one_channel_keeps_its_own_scores(searching):
    dense = await searching.search(Words("red mug"), k=2, channels=ChannelChoice(("dense",)))
    assert list(dense.product_ids) == ["p2", "p3"]
    assert list(dense.scores) == pytest.approx([0.8, 0.6])
    assert (list(dense.channels), list(dense.only_channel)) == ([DENSE] * 2, [])
    words = await searching.search(Words("red mug"), k=2, channels=ChannelChoice(("lexical",)))
    assert (list(words.product_ids), list(words.scores)) == (["p0", "p5"], [2.0, 2.0])
    assert (list(words.channels), list(words.only_channel)) == ([LEXICAL] * 2, [])
    assert words.timings.encode_us == 0, "full text needs no tower"


async def test_without_words_there_is_one_channel(searching):
    reply = await searching.search(LikeProduct("p0"))
    assert set(reply.channels) == {DENSE}
    assert lexical(searching).asked == []
    assert list(reply.only_channel) == []


async def test_filters_bind_both_channels(searching):
    oak = Filter((AnyOf("brand", ("oak",)),))
    reply = await searching.search(Words("red mug"), filter=oak)
    assert set(reply.product_ids) == {"p0", "p1", "p4"}
    assert list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]


async def test_the_channels_run_side_by_side(searching):
    """The towers answer only once full text was asked."""
    encode, asked = searching.release.encoder._vector, lexical(searching).asked

    async def patient(name: str):
        async with asyncio.timeout(5):
            while not asked:
                await asyncio.sleep(0.001)
        return await encode(name)

    searching.release.encoder._vector = patient
    assert (await searching.search(Words("red mug"))).product_ids


async def test_without_towers_full_text_answers_and_says_so(searching):
    searching.release.encoder.away = True
    for _ in range(2):
        reply = await searching.search(Words("red mug"), k=3)
        assert list(reply.product_ids) == ["p0", "p5", "p1"]
        assert list(reply.degradations) == [pb.DEGRADATION_DENSE_CHANNEL_FAILED]
        assert reply.cache_source == pb.CACHE_SOURCE_COMPUTED, "it must not outlive its cause"
    assert searching.counted("vitrine_channel_failures_total", channel="dense") == 2
    searching.release.encoder.away = False
    assert not (await searching.search(Words("red mug"), k=3)).degradations


async def test_without_full_text_the_towers_answer_and_say_so(searching):
    lexical(searching).break_down()
    reply = await searching.search(Words("red mug"), k=2)
    assert list(reply.product_ids) == ["p2", "p3"]
    assert list(reply.degradations) == [pb.DEGRADATION_LEXICAL_CHANNEL_FAILED]
    assert searching.counted("vitrine_channel_failures_total", channel="lexical") == 1
    assert searching.counted("vitrine_channel_failures_total", channel="dense") == 0


async def test_how_channels_fared_is_told_to_who_watches(searching):
    await searching.search(Words("red mug"))
    assert sorted(searching.seen) == [
        ("dense_channel", False),
        ("gpu_index", False),
        ("lexical_channel", False),
    ]
    searching.seen.clear()
    lexical(searching).break_down()
    searching.release.index.on_cpu = True
    await searching.search(Words("red mug"), bypass_cache=True)
    assert sorted(searching.seen) == [
        ("dense_channel", False),
        ("gpu_index", True),
        ("lexical_channel", True),
    ]
    searching.seen.clear()
    await searching.similar(LikeProduct("p0"))
    assert sorted(searching.seen) == [("dense_channel", False), ("gpu_index", True)]


async def test_everybody_who_waited_for_a_degraded_answer_gets_it(searching):
    lexical(searching).break_down()
    replies = await asyncio.gather(*(searching.search(Words("red mug"), k=2) for _ in range(5)))
    assert {tuple(reply.product_ids) for reply in replies} == {("p2", "p3")}
    sources = sorted(reply.cache_source for reply in replies)
    assert sources == [pb.CACHE_SOURCE_COMPUTED] + [pb.CACHE_SOURCE_SHARED_FLIGHT] * 4
    assert len(searching.release.encoder.calls) == 1


async def test_a_broken_index_is_a_failed_channel_too(searching):
    searching.release.index.broken = Unavailable("the GPU is away", field="index")
    reply = await searching.search(Words("red mug"), k=1)
    assert list(reply.degradations) == [pb.DEGRADATION_DENSE_CHANNEL_FAILED]
    with pytest.raises(Unavailable, match="the GPU is away"):
        await searching.search(LikeProduct("p0"))


async def test_a_bug_in_a_channel_is_logged_and_does_not_fail_the_reply(searching, capsys):
    searching.release.index.broken = KeyError("secret")
    reply = await searching.search(Words("red mug"), k=1)
    assert list(reply.degradations) == [pb.DEGRADATION_DENSE_CHANNEL_FAILED]
    assert "a channel is broken" in "".join(capsys.readouterr())


async def test_where_all_channels_fail_there_is_no_answer(searching):
    searching.release.encoder.away = True
    lexical(searching).break_down()
    with pytest.raises(Unavailable, match="no tower answers") as away:
        await searching.search(Words("red mug"))
    assert away.value.retry_after_s > 0
    with pytest.raises(Unavailable, match="full-text index is away"):
        await searching.search(Words("red mug"), channels=ChannelChoice(("lexical",)))


async def test_what_is_wrong_with_the_query_is_no_failed_channel(searching):
    encoder = searching.release.encoder
    encoder.vectors["not"] = encoder.vectors["red mug"]
    with pytest.raises(InvalidInput, match="nothing is left"):
        await searching.search(Words("red mug"), without=Without("not", 1.0))


async def test_an_index_that_fell_back_to_the_cpu_says_so_and_is_not_cached(searching):
    searching.release.index.on_cpu = True
    for _ in range(2):
        reply = await searching.search(LikeProduct("p0"), k=2)
        assert list(reply.degradations) == [pb.DEGRADATION_CPU_INDEX]
        assert reply.cache_source == pb.CACHE_SOURCE_COMPUTED


async def test_a_release_without_full_text_asks_one_channel_unless_told(tmp_path):
    encoder = MadeEncoder({"mug": unit_vectors(1)[0]})
    with Searching(made_release(tmp_path, unit_vectors(5), {}, encoder)) as searching:
        reply = await searching.search(Words("mug"), k=3)
        assert (list(reply.only_channel), list(reply.degradations)) == ([], [])
        both = await searching.search(Words("mug"), k=3, channels=ChannelChoice(("dense", "lexical")))
        assert list(both.degradations) == [pb.DEGRADATION_LEXICAL_CHANNEL_FAILED]
        with pytest.raises(Mismatch, match="full text of release") as refused:
            await searching.search(Words("mug"), channels=ChannelChoice(("lexical",)))
        assert "vitrine index" in refused.value.fix


async def test_unwanted_words_are_left_out_by_full_text_where_a_product_has_all_of_them(searching):
    choice = ChannelChoice(("lexical",))
    reply = await searching.search(Words("red mug"), without=Without("striped", 0.5), channels=choice)
    assert set(reply.product_ids) == {"p0", "p1", "p2"}
    lexical(searching).asked.clear()
    two = await searching.search(Words("red mug"), without=Without("blue mug", 0.5), channels=choice)
    assert set(two.product_ids) == {"p0", "p2", "p5"}, "a mug alone, or blue alone, is not what is unwanted"
    unheard = await searching.search(Words("red mug"), without=Without("zebra", 0.5), channels=choice)
    assert set(unheard.product_ids) == {"p0", "p1", "p2", "p5"}


async def test_quotas_share_the_places_of_the_first_page(searching):
    choice = ChannelChoice(dense_weight=0.0, lexical_weight=1.0)
    free = await searching.search(Words("red mug"), k=3, channels=choice)
    assert list(free.product_ids) == ["p0", "p5", "p1"]
    shared = ChannelChoice(dense_weight=0.0, lexical_weight=1.0, dense_quota=3, lexical_quota=0)
    reply = await searching.search(Words("red mug"), k=3, channels=shared)
    assert [rank > 0 for rank in dense_ranks(searching, reply)] == [True] * 3
    assert len(set(reply.product_ids)) == 3


def dense_ranks(searching: Searching, reply: pb.SearchResponse) -> list[int]:
    order = (
        (searching.release.vectors @ searching.release.encoder.vectors["red mug"]).argsort()[::-1].tolist()
    )
    return [order.index(int(product_id[1:])) + 1 for product_id in reply.product_ids]


def test_a_request_changes_in_the_releases_plan_what_it_names():
    release = MergePlan("weighted_scores", 1.0, 0.2, dense_quota=1)
    assert plan_of(ChannelChoice(("dense",)), release) is release
    assert plan_of(ChannelChoice(dense_weight=0.0), release) == MergePlan("weighted_scores", 0.0, 0.2, 1)
    assert plan_of(
        ChannelChoice(method="reciprocal_rank", lexical_weight=2.0, lexical_quota=4), release
    ) == MergePlan("reciprocal_rank", 1.0, 2.0, 1, 4)
    assert PLAN.method == "reciprocal_rank"


def test_weights_that_leave_no_channel_are_refused():
    with pytest.raises(InvalidInput) as refused:
        plan_of(ChannelChoice(dense_weight=0.0), MergePlan("reciprocal_rank", 1.0, 0.0))
    assert refused.value.field.startswith("channels.")


async def test_a_picture_asks_the_dense_channel(searching):
    searching.release.encoder.vectors["picture"] = searching.release.vectors[4]
    reply = await searching.search(Picture(jpeg("red")), k=1)
    assert (list(reply.product_ids), list(reply.channels)) == (["p4"], [DENSE])
