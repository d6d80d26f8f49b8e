"""Probes: what Triton loaded anew answers nobody before it was recognised."""

import asyncio

import pytest
from support.small_releases import SmallShop

from faults import DeadlineExceeded, Mismatch, Unavailable
from retrieval_gateway.release_probes import check_probes, suspend


@pytest.fixture
async def shop(tmp_path):
    shop = SmallShop(tmp_path)
    shop.release = shop.load((await shop.publish(1)).release_id)
    shop.triton.load_everything()
    return shop


async def search(shop, text: str = "mug") -> None:
    await shop.release.encoder.encode_words(shop.release.encoder.tokenise(text))


async def test_the_right_engines_pass_and_are_trusted(shop):
    suspend(shop.release, "product_tower")
    await search(shop)
    suspend(shop.release, "query_tower")
    with pytest.raises(Unavailable, match="being loaded"):
        await search(shop)
    await check_probes(shop.release)
    await search(shop)


async def test_another_engine_is_named_and_answers_nobody_until_the_right_one_is_back(shop):
    shop.triton.engines[1] = (77, 8)
    with pytest.raises(Mismatch, match="probe of query_tower version 1"):
        await check_probes(shop.release)
    with pytest.raises(Unavailable, match="parts disagree"):
        await search(shop)
    shop.triton.engines[1] = (1, 8)
    await check_probes(shop.release)
    await search(shop)


async def test_one_dead_tower_costs_the_other_ones_searches_nothing(shop):
    shop.triton.dead = {("product_tower", 1)}
    with pytest.raises(Unavailable, match="product_tower"):
        await check_probes(shop.release)
    await search(shop)
    shop.triton.dead = {("query_tower", 1)}
    with pytest.raises(Unavailable, match="query_tower"):
        await check_probes(shop.release)
    with pytest.raises(Unavailable):
        await search(shop)


async def test_a_late_tower_is_busy_and_stays_trusted(shop):
    shop.triton.late = {("query_tower", 1)}
    with pytest.raises(DeadlineExceeded):
        await check_probes(shop.release)
    shop.triton.late.clear()
    await search(shop)


async def test_an_engine_that_was_swapped_while_triton_was_away_never_answers(shop):
    """Triton comes back with another engine, loaded by another gateway, before our own next look."""
    shop.triton.away = True
    with pytest.raises(Unavailable):
        await check_probes(shop.release)
    shop.triton.engines[1] = (77, 8)
    shop.triton.restart()
    shop.triton.load_everything()
    answered = await asyncio.gather(*(search(shop, f"mug {n}") for n in range(5)), return_exceptions=True)
    assert {type(one) for one in answered} == {Unavailable}
    assert not [call for call in shop.triton.calls if call[0] == "query_tower"], "nobody was asked"
