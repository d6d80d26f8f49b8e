"""The limit of computations: grows where it binds and all is well, falls where answers are late."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_gateway.adaptive_limit import AdaptiveLimit


class Bench:
    def __init__(self, most: int = 256) -> None:
        self.now = 0.0
        self.limit = AdaptiveLimit(most, lambda: self.now)

    def window(self, seconds: float, *, binding: bool, budget: float = 2.0, answers: int = 10) -> int:
        """So many answers of one length, one after the other; returns the limit after them."""
        for _ in range(answers):
            self.now += max(0.02, seconds)
            if binding:
                self.limit.refused()
            self.limit.ended(seconds, budget)
        return int(self.limit)


def test_it_grows_only_while_somebody_is_refused():
    bench = Bench()
    before = int(bench.limit)
    assert bench.window(0.01, binding=False) == before
    assert bench.window(0.01, binding=True) > before


def test_it_falls_while_answers_take_most_of_the_callers_time_refused_or_not():
    for binding in (True, False):
        bench = Bench()
        before = int(bench.limit)
        assert bench.window(1.9, binding=binding) < before


def test_at_most_half_goes_at_a_time_and_never_the_last_places():
    bench = Bench()
    sizes = [int(bench.limit), *(bench.window(60.0, binding=True, answers=8) for _ in range(20))]
    assert all(after >= before / 2 for before, after in itertools.pairwise(sizes))
    assert sizes[-1] == 4


def test_it_stays_below_what_is_allowed():
    assert int(Bench(most=3).limit) == 3
    bench = Bench(most=40)
    assert max(bench.window(0.001, binding=True) for _ in range(50)) == 40


def test_a_crowd_of_quick_answers_does_not_hide_the_slow_ones():
    bench = Bench()
    before = int(bench.limit)
    for number in range(400):
        bench.now += 0.05
        bench.limit.ended(1.9 if number % 10 == 0 else 0.001, 2.0)
    assert int(bench.limit) < before


def test_callers_with_little_time_do_not_decide_unless_they_are_most():
    bench = Bench()
    for number in range(200):
        bench.now += 0.05
        bench.limit.refused()
        bench.limit.ended(0.2, 0.2 if number % 3 == 0 else 2.0)
    assert int(bench.limit) > 96


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0.001, 100), st.floats(0, 1), st.booleans()), max_size=200
    ),
    st.integers(1, 500),
)
def test_it_is_bounded_and_the_same_each_time(events, most):
    def run() -> list[int]:
        bench = Bench(most)
        sizes = []
        for elapsed, budget, pause, refused in events:
            bench.now += pause
            if refused:
                bench.limit.refused()
            bench.limit.ended(elapsed, budget)
            sizes.append(int(bench.limit))
        return sizes

    sizes = run()
    assert all(min(4, most) <= size <= most for size in sizes)
    assert sizes == run()


@pytest.mark.parametrize("seconds", [0.05, 0.5])
def test_it_learns_no_faster_than_answers_come(seconds):
    bench = Bench()
    sizes = []
    for _ in range(7):
        bench.now += seconds
        bench.limit.refused()
        bench.limit.ended(seconds, 2.0)
        sizes.append(int(bench.limit))
    assert set(sizes) == {96}, "fewer than eight answers say nothing"
