from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exported_pairs import tiny_tokenizer

from export.profiles import (
    MOST_PROFILES,
    STEP,
    best_profile,
    longest_length,
    optimisation_profiles,
    padded_length,
    token_lengths,
)
from faults import InvalidInput

SIZES = st.integers(1, 130)
LOGS = st.dictionaries(st.integers(-3, 200), st.integers(0, 10_000), max_size=30)


@given(LOGS, SIZES, st.integers(1, 70), st.data())
def test_every_length_and_every_batch_is_covered(log, max_tokens, max_batch, data):
    positions = data.draw(st.none() | st.integers(max_tokens, max_tokens + 20))
    profiles = optimisation_profiles(log, max_tokens, max_batch, positions=positions)
    longest = longest_length(max_tokens, positions)
    for length in range(1, max_tokens + 1):
        for batch in {1, max_batch, (max_batch + 1) // 2}:
            chosen = profiles[best_profile(profiles, batch, padded_length(length, longest))]
            assert chosen.length[0] <= padded_length(length, longest) <= chosen.length[2]
            assert chosen.batch[0] <= batch <= chosen.batch[2]


@given(LOGS, SIZES, st.integers(1, 70), st.data())
def test_bounds_are_ordered_multiples_of_eight_that_do_not_overlap(log, max_tokens, max_batch, data):
    positions = data.draw(st.none() | st.integers(max_tokens, max_tokens + 20))
    profiles = optimisation_profiles(log, max_tokens, max_batch, positions=positions)
    assert 1 <= len(profiles) <= MOST_PROFILES
    longest = longest_length(max_tokens, positions)
    assert profiles[-1].length[2] == longest
    assert longest % STEP == 0 or longest == positions
    previous = 0
    for profile in profiles:
        low, usual, high = profile.length
        assert previous < low <= usual <= high <= longest
        assert all(bound % STEP == 0 or bound == longest for bound in profile.length)
        assert profile.batch[0] == 1
        assert profile.batch[2] == max_batch
        previous = high


@given(st.dictionaries(st.integers(1, 64), st.integers(1, 1000), min_size=1, max_size=20))
def test_usual_lengths_are_lengths_with_traffic(log):
    padded = {padded_length(length, 64) for length in log}
    profiles = optimisation_profiles(log, 64, 32)
    assert {profile.length[1] for profile in profiles} <= padded
    assert len(profiles) == min(MOST_PROFILES, len(padded))


@given(st.dictionaries(st.integers(1, 64), st.integers(1, 1000), min_size=3, max_size=20))
def test_no_other_choice_of_usual_lengths_is_nearer_to_the_queries(log):
    """The cuts are exact k-medians: every set of three lengths in use, each query going to its nearest."""
    traffic = Counter()
    for length, count in log.items():
        traffic[padded_length(length, 64)] += count

    def distance(centres):
        return sum(count * min(abs(length - c) for c in centres) for length, count in traffic.items())

    chosen = [profile.length[1] for profile in optimisation_profiles(log, 64, 32)]
    others = [[a, b, c] for a in traffic for b in traffic for c in traffic]
    assert distance(chosen) == min(map(distance, others))


def test_two_clusters_and_a_tail_get_a_profile_each():
    log = {4: 500, 5: 300, 7: 100, 20: 400, 22: 350, 60: 20}
    profiles = optimisation_profiles(log, 64, 32)
    assert [profile.length for profile in profiles] == [(8, 8, 8), (16, 24, 24), (32, 64, 64)]
    assert {profile.batch for profile in profiles} == {(1, 16, 32)}


@pytest.mark.parametrize("log", [{}, {5: 0}])
def test_an_empty_log_gives_one_profile_tuned_for_the_longest(log):
    (profile,) = optimisation_profiles(log, 30, 4)
    assert profile.length == (8, 32, 32)


def test_one_length_gives_one_profile_over_the_whole_range():
    (profile,) = optimisation_profiles({6: 10, 7: 3}, 30, 1)
    assert profile.length == (8, 8, 32)
    assert profile.batch == (1, 1, 1)


def test_no_bound_exceeds_the_text_encoders_positions():
    (profile,) = optimisation_profiles({9: 1}, 10, 4, positions=12)
    assert profile.length == (8, 12, 12)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"positions": 20}, "positions"),
        ({"max_batch": 0}, "max_batch"),
        ({"usual_batch": 9}, "usual_batch"),
        ({"lengths": {3: -1}}, "lengths"),
    ],
)
def test_impossible_sizes_are_refused(arguments, named):
    usual = {"lengths": {5: 1}, "max_tokens": 30, "max_batch": 8}
    with pytest.raises(InvalidInput, match=named):
        optimisation_profiles(**{**usual, **arguments})


def test_of_overlapping_profiles_the_nearest_usual_shape_wins_and_the_first_of_equals():
    small, large = (optimisation_profiles({}, 16, 32, usual_batch=usual)[0] for usual in (2, 20))
    assert best_profile((large, small), 3, 16) == 1
    assert best_profile((large, small), 19, 16) == 0
    assert best_profile((small, small), 3, 16) == 0


@pytest.mark.parametrize(("batch", "length"), [(9, 8), (8, 3), (8, 40), (0, 8)])
def test_a_shape_outside_every_profile_is_refused_with_what_is_allowed(batch, length):
    profiles = optimisation_profiles({4: 1, 30: 1}, 32, 8)
    with pytest.raises(InvalidInput, match="1-8 rows of 8-8 tokens; 1-8 rows of 16-32 tokens"):
        best_profile(profiles, batch, length)


def test_token_lengths_weigh_by_count_and_cut_at_the_limit():
    tokenizer = tiny_tokenizer()
    short, long = "mug", "red mug lamp chair green blue"
    whole = len(tokenizer.encode([short], 100)[0])
    found = token_lengths(tokenizer, {short: 5, long: 2, "": 1}, whole + 1)
    assert found == {whole: 5, whole + 1: 2, len(tokenizer.encode([""], 100)[0]): 1}
