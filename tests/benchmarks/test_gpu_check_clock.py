"""Turns, failures and statistics of the interleaved clock. Nothing here depends on how fast anything is."""

import pytest

from benchmarks.gpu_check.clock import (
    Round,
    Spread,
    cause,
    four_digits,
    interleaved,
    per_second,
    times_faster,
    wait_ms,
)


def test_contenders_take_turns() -> None:
    order: list[str] = []
    rounds, failures = interleaved(
        {name: lambda name=name: order.append(name) for name in "abc"}, lambda: None, rounds=3, turn_s=0.0
    )
    turns = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
    assert turns == list("abc") * 4  # warm-up, then three rounds
    assert failures == {}
    assert {name: len(found) for name, found in rounds.items()} == {"a": 3, "b": 3, "c": 3}


def test_each_call_is_waited_for_and_the_burst_once() -> None:
    log: list[str] = []
    rounds, _ = interleaved({"a": lambda: log.append("call")}, lambda: log.append("wait"), 1, 0.0)
    turn = log[-(3 * len(rounds["a"][0].waits_s) + 1) :]
    number = len(rounds["a"][0].waits_s)
    assert turn == ["call", "wait"] * number + ["call"] * number + ["wait"]


def test_one_that_fails_at_once_is_left_out() -> None:
    def fail() -> None:
        raise RuntimeError("no C compiler\nand a long trace")

    rounds, failures = interleaved({"good": lambda: None, "bad": fail}, lambda: None, 2, 0.0)
    assert list(rounds) == ["good"]
    assert failures == {"bad": "RuntimeError: no C compiler"}


def test_one_that_fails_in_the_middle_keeps_nothing() -> None:
    calls = iter(range(20))

    def fail_later() -> None:
        if next(calls) > 18:
            raise MemoryError("out of memory")

    rounds, failures = interleaved({"good": lambda: None, "bad": fail_later}, lambda: None, 3, 0.0)
    assert list(rounds) == ["good"]
    assert len(rounds["good"]) == 3
    assert failures == {"bad": "MemoryError: out of memory"}


SLOW = [Round((0.004, 0.006), 0.004), Round((0.008, 0.010), 0.008), Round((0.002, 0.003), 0.002)]
FAST = [Round((0.002,), 0.002), Round((0.002,), 0.002), Round((0.002,), 0.001)]


def test_rows_a_second_are_of_the_bursts() -> None:
    assert per_second(SLOW, batch=8).as_list() == [2000, 1000, 4000]


def test_ratios_are_taken_round_by_round() -> None:
    assert times_faster(FAST, SLOW) == Spread(median=2.0, least=2.0, most=4.0)
    assert times_faster(SLOW, SLOW) == Spread(1.0, 1.0, 1.0)


def test_waits_are_pooled() -> None:
    assert wait_ms(SLOW, 50) == pytest.approx(5.0)
    assert wait_ms(SLOW, 100) == pytest.approx(10.0)


def test_figures_do_not_pretend() -> None:
    assert four_digits(123456.7) == 123500
    assert four_digits(0.000123456) == 0.0001235
    assert cause(ValueError("")) == "ValueError: "
