import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from faults import InternalError, InvalidInput
from retrieval_gateway.channels.merging import DEFAULT_PLAN, MergePlan, merge
from retrieval_gateway.channels.types import Merged, Ranking

METHODS = ("reciprocal_rank", "weighted_scores")
NOTHING = Ranking(np.empty(0, np.int64), np.empty(0, np.float32))


def ranking(scores: dict[int, float], ceiling: float | None = None) -> Ranking:
    """Rows by falling score; tied rows keep their order here."""
    rows = sorted(scores, key=lambda row: -scores[row])
    return Ranking(
        np.array(rows, np.int64), np.array([scores[row] for row in rows], np.float32), ceiling=ceiling
    )


def rankings(lowest: float, highest: float) -> st.SearchStrategy[Ranking]:
    scores = st.floats(lowest, highest, width=32)
    return st.dictionaries(st.integers(0, 30), scores, max_size=20).map(ranking)


DENSE = rankings(-1.0, 1.0)
LEXICAL = rankings(0.5, 40.0).map(lambda found: Ranking(found.rows, found.scores, ceiling=50.0))
PLANS = st.builds(
    MergePlan,
    st.sampled_from(METHODS),
    st.floats(0.1, 3.0),
    st.floats(0.1, 3.0),
    st.integers(0, 12),
    st.integers(0, 12),
)


def names(merged: Merged) -> list[str]:
    return ["dense" if dense else "lexical" for dense in merged.dense]


def test_reciprocal_ranks_are_added_as_published() -> None:
    dense, lexical = ranking({7: 0.9, 3: 0.8}), ranking({3: 11.0, 5: 4.0})
    merged = merge(dense, lexical, MergePlan("reciprocal_rank", 1.0, 2.0), 10)
    assert merged.rows.tolist() == [3, 5, 7]
    assert merged.scores.tolist() == pytest.approx([1 / 62 + 2 / 61, 2 / 62, 1 / 61])
    assert names(merged) == ["lexical", "lexical", "dense"]
    assert merged.only.tolist() == [False, True, True]
    assert merged.dense_rank.tolist() == [2, 0, 1]
    assert merged.dense_score.tolist() == pytest.approx([0.8, 0.0, 0.9])
    assert merged.lexical_rank.tolist() == [1, 2, 0]
    assert merged.lexical_score.tolist() == [11.0, 4.0, 0.0]


def test_weighted_scores_are_cosines_and_squared_shares_of_the_ceiling() -> None:
    dense, lexical = ranking({7: 0.9, 3: 0.8, 1: 0.2}), ranking({3: 10.0, 5: 5.0}, ceiling=20.0)
    merged = merge(dense, lexical, MergePlan("weighted_scores", 1.0, 4.0), 10)
    assert dict(zip(merged.rows.tolist(), merged.scores.tolist(), strict=True)) == pytest.approx(
        {3: 0.8 + 4 * 0.25, 7: 0.9, 5: 0.2 + 4 * 0.0625, 1: 0.2}
    )
    assert merged.rows.tolist() == [3, 7, 5, 1]
    assert names(merged) == ["lexical", "dense", "lexical", "dense"]  # 3: 4 x .25 against .8 - .2
    assert merged.scores.dtype == np.float32


def test_where_no_ceiling_is_known_the_best_hit_is_the_measure() -> None:
    merged = merge(ranking({1: 0.5}), ranking({2: 8.0, 3: 4.0}), MergePlan("weighted_scores", 1.0, 0.4), 5)
    assert dict(zip(merged.rows.tolist(), merged.scores.tolist(), strict=True)) == pytest.approx(
        {1: 0.5, 2: 0.9, 3: 0.6}
    )


def test_a_poor_best_hit_of_full_text_weighs_less_than_a_good_one() -> None:
    dense, plan = ranking({1: 0.5, 2: 0.4}), MergePlan("weighted_scores", 1.0, 0.2)
    assert merge(dense, ranking({2: 30.0}, ceiling=40.0), plan, 2).rows.tolist() == [2, 1]
    assert merge(dense, ranking({2: 30.0}, ceiling=90.0), plan, 2).rows.tolist() == [1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_one_channel_alone_keeps_its_own_scores(method: str) -> None:
    found = ranking({4: 12.5, 9: 3.0, 2: 1.0})
    plan = MergePlan(method, 0.7, 0.3, dense_quota=3)  # type: ignore[arg-type]
    lexical, dense = merge(None, found, plan, 2), merge(found, None, plan, 2)
    for merged, name in ((lexical, "lexical"), (dense, "dense")):
        assert merged.rows.tolist() == [4, 9]
        assert merged.scores.tolist() == [12.5, 3.0]
        assert names(merged) == [name, name]
        assert merged.only.all()
    assert lexical.lexical_rank.tolist() == dense.dense_rank.tolist() == [1, 2]
    assert lexical.dense_rank.tolist() == dense.lexical_rank.tolist() == [0, 0]
    assert lexical.lexical_score.tolist() == dense.dense_score.tolist() == [12.5, 3.0]


def test_without_any_channel_there_is_nothing_to_merge() -> None:
    with pytest.raises(InternalError, match="no channel answered"):
        merge(None, None, DEFAULT_PLAN, 10)


@pytest.mark.parametrize("method", METHODS)
def test_a_channel_that_found_nothing_is_not_a_channel_that_was_not_asked(method: str) -> None:
    plan, found = MergePlan(method, 1.0, 1.0), ranking({4: 0.9, 9: 0.3})  # type: ignore[arg-type]
    assert len(merge(NOTHING, NOTHING, plan, 5)) == 0
    merged = merge(found, NOTHING, plan, 5)
    assert merged.rows.tolist() == [4, 9]
    assert merged.only.all()
    assert merge(NOTHING, found, plan, 5).rows.tolist() == [4, 9]


@given(DENSE, LEXICAL, PLANS, st.integers(0, 40))
def test_each_row_once_best_first_and_no_more_than_asked_for(
    dense: Ranking, lexical: Ranking, plan: MergePlan, depth: int
) -> None:
    merged = merge(dense, lexical, plan, depth)
    union = set(dense.rows.tolist()) | set(lexical.rows.tolist())
    assert len(merged) == min(depth, len(union)) == len(set(merged.rows.tolist()))
    assert set(merged.rows.tolist()) <= union
    assert np.all(np.diff(merged.scores) <= 0)
    found_by_dense, found_by_lexical = merged.dense_rank > 0, merged.lexical_rank > 0
    np.testing.assert_array_equal(merged.only, found_by_dense ^ found_by_lexical)
    assert np.all(found_by_dense[merged.dense])
    assert np.all(found_by_lexical[~merged.dense])
    np.testing.assert_array_equal(
        dense.rows[merged.dense_rank[found_by_dense] - 1], merged.rows[found_by_dense]
    )
    np.testing.assert_array_equal(
        lexical.scores[merged.lexical_rank[found_by_lexical] - 1], merged.lexical_score[found_by_lexical]
    )


@given(DENSE, LEXICAL, PLANS, st.permutations(range(31)))
def test_numbering_the_products_otherwise_changes_nothing(
    dense: Ranking, lexical: Ranking, plan: MergePlan, numbers: list[int]
) -> None:
    renamed = np.array(numbers)
    merged = merge(dense, lexical, plan, 12)
    other = merge(
        Ranking(renamed[dense.rows], dense.scores),
        Ranking(renamed[lexical.rows], lexical.scores, lexical.ceiling),
        plan,
        12,
    )
    np.testing.assert_array_equal(renamed[merged.rows], other.rows)
    np.testing.assert_array_equal(merged.scores, other.scores)
    np.testing.assert_array_equal(merged.dense, other.dense)


@pytest.mark.parametrize("method", METHODS)
@given(dense=DENSE, lexical=LEXICAL)
def test_a_weight_of_0_only_appends_what_the_other_channel_missed(
    method: str, dense: Ranking, lexical: Ranking
) -> None:
    for plan, heavy, light in (
        (MergePlan(method, 1.0, 0.0), dense, lexical),  # type: ignore[arg-type]
        (MergePlan(method, 0.0, 1.0), lexical, dense),  # type: ignore[arg-type]
    ):
        merged = merge(dense, lexical, plan, 60)
        missed = light.rows[~np.isin(light.rows, heavy.rows)]
        np.testing.assert_array_equal(merged.rows, np.concatenate((heavy.rows, missed)))


@given(DENSE, LEXICAL, PLANS, st.integers(1, 25))
def test_quotas_are_met_where_both_can_be(
    dense: Ranking, lexical: Ranking, plan: MergePlan, depth: int
) -> None:
    merged = merge(dense, lexical, plan, depth)
    wanted_dense = min(plan.dense_quota, len(dense.rows), depth)
    wanted_lexical = min(plan.lexical_quota, len(lexical.rows), depth)
    shared = len(np.intersect1d(dense.rows, lexical.rows))
    assume(wanted_dense + wanted_lexical <= depth + shared)
    assert np.count_nonzero(merged.dense_rank) >= wanted_dense
    assert np.count_nonzero(merged.lexical_rank) >= wanted_lexical


@given(DENSE, LEXICAL, PLANS)
def test_quotas_keep_the_order(dense: Ranking, lexical: Ranking, plan: MergePlan) -> None:
    plain = merge(dense, lexical, MergePlan(plan.method, plan.dense_weight, plan.lexical_weight), 60)
    merged = merge(dense, lexical, plan, 10)
    places = np.flatnonzero(np.isin(plain.rows, merged.rows))
    np.testing.assert_array_equal(plain.rows[places], merged.rows)


def test_a_quota_brings_in_the_channels_next_best_hits() -> None:
    dense, lexical = (
        ranking({row: 0.9 - row / 100 for row in range(9)}),
        ranking({20: 9.0, 21: 8.0, 0: 7.0}, 900),
    )
    plain = MergePlan("weighted_scores", 1.0, 0.1)
    assert merge(dense, lexical, plain, 5).rows.tolist() == [0, 1, 2, 3, 4]
    plan = MergePlan("weighted_scores", 1.0, 0.1, lexical_quota=2)
    assert merge(dense, lexical, plan, 5).rows.tolist() == [0, 1, 2, 3, 20]
    plan = MergePlan("weighted_scores", 0.0, 1.0, dense_quota=4)
    assert merge(dense, lexical, plan, 5).rows.tolist() == [20, 0, 1, 2, 3]


def test_ties_go_by_rank_in_the_heavier_channel() -> None:
    dense, lexical = ranking({5: 0.5, 2: 0.4}), ranking({2: 9.0, 5: 8.0})
    even = MergePlan("reciprocal_rank", 1.0, 1.0)
    assert merge(dense, lexical, even, 5).rows.tolist() == [5, 2]
    dense, lexical = ranking({1: 0.5}), ranking({2: 3.0})
    assert merge(dense, lexical, even, 5).rows.tolist() == [1, 2]
    assert merge(dense, lexical, MergePlan("reciprocal_rank", 0.5, 1.0), 5).rows.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dense_weight", -0.1),
        ("lexical_weight", float("nan")),
        ("lexical_weight", float("inf")),
        ("dense_quota", -1),
        ("lexical_quota", -2),
    ],
)
def test_weights_and_quotas_below_0_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        MergePlan(**{"method": "reciprocal_rank", "dense_weight": 1.0, "lexical_weight": 1.0, field: value})  # type: ignore[arg-type]
    assert caught.value.field == f"channels.{field}"


def test_two_weights_of_0_are_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a weight"):
        MergePlan("weighted_scores", 0.0, 0.0)
