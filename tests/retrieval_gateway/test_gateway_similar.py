"""Products like one product: by which half, whose, and in which section."""

import asyncio

import numpy as np
import pytest
from support.made_releases import MadeEncoder, Searching, made_release, unit_vectors
from support.small_releases import jpeg

from faults import InvalidInput, NotFound, Unavailable
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.filters import AnyOf, Filter
from retrieval_gateway.query import Example, LikeProduct

COUNT = 60
WHOLE, TEXTS, PICTURES = (unit_vectors(COUNT, seed=seed) for seed in range(3))
PICTURES[::5] = 0
SHOWN, SHOWN_TEXT, SHOWN_PICTURE = unit_vectors(3, seed=9)
COLUMNS = {
    "supplier": [("Ada", "Bo", "Cy", "")[row % 4] for row in range(COUNT)],
    "brand": ["Oak" if row < 30 else "Luma" for row in range(COUNT)],
}
THRESHOLDS = {"both": 0.3, "text": 0.4, "image": 0.2}


@pytest.fixture
def searching(tmp_path):
    encoder = MadeEncoder({"mug+picture": SHOWN, "mug": SHOWN_TEXT, "picture": SHOWN_PICTURE})
    release = made_release(
        tmp_path, WHOLE, COLUMNS, encoder, views={"text": TEXTS, "image": PICTURES}, same_style=THRESHOLDS
    )
    with Searching(release) as searching:
        yield searching


@pytest.fixture
def plain(tmp_path):
    """A release without halves and without a threshold."""
    encoder = MadeEncoder({"mug": SHOWN_TEXT, "picture": SHOWN_PICTURE})
    with Searching(made_release(tmp_path, WHOLE, COLUMNS, encoder)) as searching:
        yield searching


def check(reply, vectors, vector, threshold, k, allowed=lambda _: True) -> None:
    exact = {row: float(vectors[row] @ vector) for row in range(COUNT) if allowed(row)}
    ordered = sorted(exact, key=lambda row: -exact[row])
    same = [row for row in ordered if exact[row] >= threshold]
    similar = [row for row in ordered if exact[row] < threshold]
    assert list(reply.same_style.product_ids) == [f"p{row}" for row in same[:k]]
    assert list(reply.similar.product_ids) == [f"p{row}" for row in similar[:k]]
    assert list(reply.similar.scores) == pytest.approx([exact[row] for row in similar[:k]], abs=1e-6)
    assert reply.same_style_threshold == pytest.approx(threshold)


@pytest.mark.parametrize("k", [1, 5, 40])
async def test_by_all_there_is(searching, k):
    reply = await searching.similar(LikeProduct("p7"), k=k)
    check(reply, WHOLE, WHOLE[7], 0.3, k, lambda row: row != 7)
    assert (list(reply.degradations) == [pb.DEGRADATION_FEWER_THAN_K]) == (len(reply.similar.product_ids) < k)
    assert searching.release.encoder.calls == []
    assert reply.timings.encode_us == 0


@pytest.mark.parametrize(("view", "vectors"), [("text", TEXTS), ("image", PICTURES)])
async def test_by_one_half_of_both_products(searching, view, vectors):
    reply = await searching.similar(LikeProduct("p7"), k=20, view=view)
    check(reply, vectors, vectors[7], THRESHOLDS[view], 20, lambda row: row != 7 and bool(vectors[row].any()))
    assert pb.DEGRADATION_VIEW_NOT_AVAILABLE not in reply.degradations
    assert searching.release.encoder.calls == []


async def test_a_product_without_a_picture_is_compared_by_all_there_is(searching):
    reply = await searching.similar(LikeProduct("p10"), k=5, view="image")
    check(reply, WHOLE, WHOLE[10], 0.3, 5, lambda row: row != 10)
    assert list(reply.degradations) == [pb.DEGRADATION_VIEW_NOT_AVAILABLE]


@pytest.mark.parametrize("view", ["text", "image"])
@pytest.mark.parametrize(
    "subject", [LikeProduct("p7"), Example("mug", jpeg("red"))], ids=["product", "example"]
)
async def test_a_release_without_halves_answers_by_all_there_is(plain, view, subject):
    reply = await plain.similar(subject, k=5, view=view)
    vector = (
        WHOLE[7] if isinstance(subject, LikeProduct) else {"text": SHOWN_TEXT, "image": SHOWN_PICTURE}[view]
    )
    exact = WHOLE @ vector
    best = [row for row in np.argsort(-exact) if row != 7 or not isinstance(subject, LikeProduct)]
    assert list(reply.similar.product_ids) == [f"p{row}" for row in best[:5]]
    assert list(reply.degradations) == [pb.DEGRADATION_VIEW_NOT_AVAILABLE]


async def test_a_release_without_a_threshold_calls_everything_similar(plain):
    reply = await plain.similar(LikeProduct("p7"), k=5)
    assert not reply.HasField("same_style_threshold")
    assert len(reply.similar.product_ids) == 5
    assert not reply.same_style.product_ids
    assert not reply.degradations


EXAMPLES = {
    "both": (Example("mug", jpeg("red")), None, "mug+picture", WHOLE, SHOWN, "both"),
    "a title": (Example("mug", b""), None, "mug", WHOLE, SHOWN_TEXT, "both"),
    "a picture": (Example("", jpeg("red")), None, "picture", WHOLE, SHOWN_PICTURE, "both"),
    "a title by text": (Example("mug", b""), "text", "mug", TEXTS, SHOWN_TEXT, "text"),
    "both by picture": (Example("mug", jpeg("red")), "image", "picture", PICTURES, SHOWN_PICTURE, "image"),
    "both by text": (Example("mug", jpeg("red")), "text", "mug", TEXTS, SHOWN_TEXT, "text"),
}


@pytest.mark.parametrize(
    ("subject", "view", "call", "vectors", "vector", "part"), EXAMPLES.values(), ids=EXAMPLES
)
async def test_an_example_is_embedded_as_a_product(searching, subject, view, call, vectors, vector, part):
    reply = await searching.similar(subject, k=6, view=view)
    check(reply, vectors, vector, THRESHOLDS[part], 6, lambda row: bool(vectors[row].any()))
    assert searching.release.encoder.calls == [call]


async def test_other_suppliers_or_ones_own_double_listings(searching):
    others = await searching.similar(LikeProduct("p4"), k=COUNT, suppliers="others")
    check(others, WHOLE, WHOLE[4], 0.3, COUNT, lambda row: COLUMNS["supplier"][row] != "Ada")
    own = await searching.similar(LikeProduct("p4"), k=COUNT, suppliers="own")
    check(own, WHOLE, WHOLE[4], 0.3, COUNT, lambda row: COLUMNS["supplier"][row] == "Ada" and row != 4)


async def test_a_product_without_a_supplier_has_no_own_and_all_others(searching):
    own = await searching.similar(LikeProduct("p3"), k=5, suppliers="own")
    assert not own.same_style.product_ids
    assert not own.similar.product_ids
    assert list(own.degradations) == [pb.DEGRADATION_FEWER_THAN_K]
    others = await searching.similar(LikeProduct("p3"), k=COUNT, suppliers="others")
    check(others, WHOLE, WHOLE[3], 0.3, COUNT, lambda row: row != 3)


async def test_filters_and_suppliers_hold_together(searching):
    oak = Filter((AnyOf("brand", ("oak",)),))
    reply = await searching.similar(LikeProduct("p4"), k=COUNT, filter=oak, suppliers="own", view="text")
    check(reply, TEXTS, TEXTS[4], 0.4, COUNT, lambda row: row < 30 and row % 4 == 0 and row != 4)


async def test_the_section_below_many_of_one_style_is_filled_too(tmp_path):
    """The first look is 2 k deep; here 50 are the same style."""
    vectors = np.concatenate([np.tile(WHOLE[:1], (50, 1)), WHOLE[1:40]])
    release = made_release(tmp_path, vectors, {}, same_style={"both": 0.9})
    with Searching(release) as searching:
        reply = await searching.similar(LikeProduct("p0"), k=3)
    assert list(reply.same_style.product_ids) == ["p1", "p2", "p3"]
    assert len(reply.similar.product_ids) == 3
    assert max(reply.similar.scores) < 0.9
    assert release.index.depths == [7, 25, 97]


async def test_fields_come_with_either_section(searching):
    reply = await searching.similar(LikeProduct("p7"), k=3, fields=("brand", "supplier"))
    for section in (reply.same_style, reply.similar):
        assert [column.field for column in section.columns] == ["brand", "supplier"]
        rows = [int(product_id[1:]) for product_id in section.product_ids]
        assert list(section.columns[0].texts) == [COLUMNS["brand"][row] for row in rows]
        assert len(section.text_weights) == len(rows)


async def test_it_is_cached_and_bypassed_as_a_search_is(searching):
    sources = [(await searching.similar(LikeProduct("p7"))).cache_source for _ in range(2)]
    assert sources == [pb.CACHE_SOURCE_COMPUTED, pb.CACHE_SOURCE_MEMORY]
    assert (await searching.similar(LikeProduct("p7"), bypass_cache=True)).cache_source == sources[0]
    assert (await searching.similar(LikeProduct("p7"), view="text")).cache_source == sources[0]
    together = await asyncio.gather(*(searching.similar(LikeProduct("p8")) for _ in range(3)))
    assert sum(reply.cache_source == pb.CACHE_SOURCE_SHARED_FLIGHT for reply in together) == 2


async def test_what_cannot_be_answered_is_said_by_its_field(searching):
    with pytest.raises(NotFound) as missing:
        await searching.similar(LikeProduct("p99"))
    assert missing.value.field == "product_id"
    with pytest.raises(InvalidInput) as torn:
        await searching.similar(Example("", jpeg("red")[:-40]))
    assert torn.value.field == "picture"
    searching.release.encoder.away = True
    with pytest.raises(Unavailable):
        await searching.similar(Example("mug", b""))
    assert len(searching.memory) == 0


async def test_what_was_cut_or_fell_back_is_said(searching):
    long = "m" * 50
    searching.release.encoder.vectors[long] = SHOWN
    reply = await searching.similar(Example(long, b""), k=1)
    assert list(reply.degradations) == [pb.DEGRADATION_QUERY_TRUNCATED]
    searching.release.index.on_cpu = True
    reply = await searching.similar(LikeProduct("p7"), k=1)
    assert list(reply.degradations) == [pb.DEGRADATION_CPU_INDEX]
    assert len(searching.memory) == 1, "only the first"
