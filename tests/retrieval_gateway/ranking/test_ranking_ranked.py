"""A ranking grows at its end only, whatever keeps hits out of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rankings import merged_of

from retrieval_gateway.ranking.ranked import NOTHING, Steps, append, extend


def rows_of(ranked) -> list[int]:
    return ranked.hits.rows.tolist()


def test_a_deeper_ranking_adds_what_is_new_behind_what_is_there():
    first = extend(NOTHING, merged_of([4, 1, 7]), Steps())
    both = extend(first, merged_of([9, 4, 2, 1, 7, 3]), Steps())
    assert rows_of(first) == [4, 1, 7]
    assert rows_of(both) == [4, 1, 7, 9, 2, 3]
    assert both.hits.dense_rank.tolist() == [1, 2, 3, 1, 3, 6], "a rank is the deeper ranking's own"


def test_the_empty_ranking_has_the_types_of_a_merged_one():
    empty, one = NOTHING.hits, merged_of([1])
    for name in one.__slots__:
        assert getattr(empty, name).dtype == getattr(one, name).dtype, name
        assert getattr(append(empty, one), name).tolist() == getattr(one, name).tolist()


def test_scores_below_the_minimum_are_left_out_and_not_offered_again():
    steps = Steps(minimum_score=0.9)
    first = extend(NOTHING, merged_of([1, 2, 3], [0.95, 0.9, 0.89]), steps)
    assert rows_of(first) == [1, 2], "the bound itself belongs"
    assert rows_of(extend(first, merged_of([3, 4], [0.99, 0.98]), steps)) == [1, 2, 4]


def test_a_bound_is_compared_as_the_scores_are_kept():
    score = np.float32(0.1)
    assert rows_of(extend(NOTHING, merged_of([1], [score]), Steps(minimum_score=0.1))) == [1]


GROUPS = ["red", "", "red", "", "blue", "red", "blue"]


def groups(rows):
    return [GROUPS[row] for row in rows]


def test_a_group_has_room_for_its_best_and_none_stands_for_itself():
    steps = Steps(per_style_group=2, groups=groups)
    assert rows_of(extend(NOTHING, merged_of(range(7)), steps)) == [0, 1, 2, 3, 4, 6]


def test_a_group_is_as_full_as_earlier_rungs_left_it():
    steps = Steps(per_style_group=1, groups=groups)
    first = extend(NOTHING, merged_of([0, 1]), steps)
    assert first.in_group == {"red": 1}
    assert rows_of(extend(first, merged_of([0, 1, 2, 4, 5, 6]), steps)) == [0, 1, 4]


def test_each_removed_product_is_counted_once_by_its_first_reason():
    def irrelevant(rows):
        return {"category": rows % 2 == 0, "keywords": rows > 4}

    steps = Steps(irrelevant=irrelevant)
    first = extend(NOTHING, merged_of([1, 2, 5, 6]), steps)
    assert rows_of(first) == [1]
    assert first.removed == {"category": 2, "keywords": 1}
    both = extend(first, merged_of([1, 2, 3, 4]), steps)
    assert rows_of(both) == [1, 3]
    assert both.removed == {"category": 3, "keywords": 1}


def test_what_is_left_out_takes_no_room_in_its_group():
    steps = Steps(
        irrelevant=lambda rows: {"category": rows == 0},
        minimum_score=0.5,
        per_style_group=1,
        groups=lambda rows: ["one"] * len(rows),
    )
    assert rows_of(extend(NOTHING, merged_of([0, 1, 2], [0.9, 0.8, 0.7]), steps)) == [1]


@settings(deadline=None)
@given(
    order=st.permutations(range(20)),
    cuts=st.lists(st.integers(0, 20), max_size=4).map(sorted),
    most=st.integers(0, 3),
    minimum=st.none() | st.floats(0.8, 1.0),
)
def test_rungs_of_one_ranking_give_what_the_deepest_gives_alone(order, cuts, most, minimum):
    """The prefix property that pages rest on."""
    steps = Steps(
        irrelevant=lambda rows: {"category": rows % 5 == 0},
        minimum_score=minimum,
        per_style_group=most,
        groups=lambda rows: [f"{row % 4}" if row % 3 else "" for row in rows],
    )
    alone = extend(NOTHING, merged_of(order), steps)
    climbed = NOTHING
    for cut in (*cuts, 20):
        before = rows_of(climbed)
        climbed = extend(climbed, merged_of(order[:cut]), steps)
        assert rows_of(climbed)[: len(before)] == before
    assert rows_of(climbed) == rows_of(alone)
    assert climbed.removed == alone.removed
    assert sorted(climbed.seen) == list(range(20))


@pytest.mark.parametrize("steps", [Steps(), Steps(minimum_score=0.0, per_style_group=1)])
def test_nothing_found_leaves_nothing(steps):
    assert rows_of(extend(NOTHING, merged_of([]), steps)) == []
