"""What is planted into a shop, and that nothing else of it moves."""

import numpy as np
import pytest

from benchmarks.experiments.variants import cover, plant_noise, split_queries
from catalog.pictures import DecodedPictures
from catalog.sample_shop.clicks import make_clicks, make_coclicks
from catalog.sample_shop.styles import make_offers

OFFERS = make_offers(400, seed=1)
CLICKS = make_clicks(OFFERS, seed=1)
COCLICKS = make_coclicks(OFFERS, seed=1)


def test_a_share_of_the_queries_gets_a_twin_with_about_half_of_the_clicks() -> None:
    changed = split_queries(CLICKS, 0.5, seed=0)
    queries = {click.query for click in CLICKS}
    twins = {click.query for click in changed} - queries
    assert 0.3 * len(queries) < len(twins) <= round(0.5 * len(queries))  # one of a single click may get none
    assert {twin.removesuffix(" please") for twin in twins} <= queries
    moved = sum(click.query in twins for click in changed) / len(changed)
    assert 0.15 < moved < 0.35
    assert [(one.product_id, one.clicks) for one in changed] == [
        (one.product_id, one.clicks) for one in CLICKS
    ]


def test_no_duplicates_change_nothing() -> None:
    assert split_queries(CLICKS, 0.0, seed=0) == CLICKS


def test_planted_co_clicks_are_of_other_styles_and_look_like_true_ones() -> None:
    noisy = plant_noise(COCLICKS, OFFERS, 0.6, seed=0)
    planted = set(noisy) - set(COCLICKS)
    assert len(planted) in (round(0.6 * len(COCLICKS)), round(0.6 * len(COCLICKS)) + 1)
    assert all(
        (row.clicked_id, row.trigger_id) in {(one.trigger_id, one.clicked_id) for one in planted}
        for row in planted
    )
    offer = {one.product_id: one for one in OFFERS}
    pairs = [(offer[row.trigger_id], offer[row.clicked_id]) for row in planted]
    assert all(one.style.group != other.style.group for one, other in pairs)
    same_article = sum(one.style.article is other.style.article for one, other in pairs) / len(pairs)
    assert 0.35 < same_article < 0.6
    assert {row.clicks for row in planted} <= {row.clicks for row in COCLICKS}


def test_a_shop_without_enough_pairs_gets_fewer() -> None:
    few = make_offers(4, seed=1)
    mine = make_coclicks(few, seed=1)
    assert len(plant_noise(mine, few, 50.0, seed=0)) < 51 * len(mine)


def test_planting_is_the_same_for_a_seed() -> None:
    assert plant_noise(COCLICKS, OFFERS, 0.3, seed=2) == plant_noise(COCLICKS, OFFERS, 0.3, seed=2)
    assert plant_noise(COCLICKS, OFFERS, 0.3, seed=2) != plant_noise(COCLICKS, OFFERS, 0.3, seed=3)


@pytest.mark.parametrize("share", [0.25, 0.45])
def test_a_share_of_every_picture_is_covered(share: float) -> None:
    pixels = np.zeros((3, 2, 40, 40, 3), np.uint8)
    has_image = np.array([[True, True], [True, False], [True, True]])
    covered = cover(DecodedPictures(pixels, has_image, ()), share, seed=0)
    grey = (covered.pixels == 128).all(axis=-1).mean(axis=(2, 3))
    assert grey[has_image] == pytest.approx(np.full(5, share), abs=0.03)
    assert grey[~has_image] == 0
    assert not pixels.any()
