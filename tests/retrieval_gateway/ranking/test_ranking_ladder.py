"""Depths are fixed rungs, whatever page asks, unless any depth will do."""

import itertools

import pytest

from retrieval_gateway.ranking.ladder import DEEPEST, FIRST, rungs


def test_every_page_climbs_the_same_rungs():
    assert list(rungs(11)) == list(rungs(2000)) == [128, 512, 2048, 8192, DEEPEST]
    assert FIRST == 128


@pytest.mark.parametrize("needed", [1, FIRST, FIRST + 1, DEEPEST, DEEPEST + 1, 10 * DEEPEST])
def test_the_last_rung_is_deep_enough_for_the_page_and_for_over_fetching(needed):
    *lower, last = rungs(needed)
    assert last >= max(needed, DEEPEST)
    assert all(rung < max(needed, DEEPEST) for rung in lower)


@pytest.mark.parametrize("needed", [1, 11, 9601, 5 * DEEPEST])
def test_where_any_depth_will_do_the_first_rung_is_the_page(needed):
    depths = list(rungs(needed, any_depth=True))
    assert depths[0] == needed
    assert all(deeper > shallower for shallower, deeper in itertools.pairwise(depths))
    assert depths[-1] >= DEEPEST
