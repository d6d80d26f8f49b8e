"""When a call is made again; no clock but the test's."""

import pytest

from faults import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from retrieval_gateway.client.retry import Attempts, RetryBudget, RetryPolicy

AWAY = Unavailable("away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts(policy=None, budget=None, timeout_s=10.0, clock=None, **options) -> Attempts:
    policy = policy or RetryPolicy()
    return Attempts(
        policy,
        budget or policy.budget(),
        timeout_s,
        clock=clock or Clock(),
        uniform=lambda: 0.5,
        **options,
    )


def test_pauses_grow_to_a_bound_and_scatter_about_it():
    policy = RetryPolicy(first_s=0.1, factor=3, longest_s=1.0, jitter=0.2)
    assert [policy.pause_s(failed, 0.0, 0.5) for failed in (1, 2, 3, 4)] == pytest.approx(
        [0.1, 0.3, 0.9, 1.0]
    )
    assert policy.pause_s(1, 0.0, 0.0) == pytest.approx(0.08)
    assert policy.pause_s(1, 0.0, 1.0) == pytest.approx(0.12)


def test_a_gateways_own_time_is_kept_and_never_shortened():
    policy = RetryPolicy(first_s=0.1, jitter=0.2)
    assert policy.pause_s(1, 2.0, 0.0) == 2.0
    assert policy.pause_s(1, 2.0, 1.0) == pytest.approx(2.4)
    assert policy.pause_s(1, 0.01, 0.5) == pytest.approx(0.1), "our own pause is the longer one"


def test_no_more_attempts_than_the_policy_has():
    call = attempts(RetryPolicy(attempts=3))
    assert [call.pause_after(AWAY) is None for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("fault", [InvalidInput("bad"), DeadlineExceeded("late"), Overloaded("full")])
def test_what_cannot_pass_is_not_tried_again(fault):
    assert attempts().pause_after(fault) is None


def test_what_changes_something_is_not_tried_again():
    assert attempts(safe=False).pause_after(AWAY) is None


def test_no_pause_reaches_beyond_the_deadline():
    clock = Clock()
    call = attempts(RetryPolicy(first_s=1.0, jitter=0), timeout_s=2.5, clock=clock)
    assert call.pause_after(AWAY) == 1.0
    clock.now += 1.6
    assert call.left_s == pytest.approx(0.9)
    assert call.pause_after(AWAY) is None
    clock.now += 5
    assert call.left_s == 0


def test_the_budget_lets_a_share_of_calls_be_retried_and_no_more():
    """gRFC A6: while more than half of the tokens are left."""
    budget = RetryBudget(tokens=10, ratio=0.1)
    allowed = [budget.failed() for _ in range(8)]
    assert allowed == [True] * 4 + [False] * 4
    for _ in range(45):
        budget.succeeded()
    assert budget.failed(), "what successes put back can be spent"
    assert not budget.failed()
    for _ in range(1000):
        budget.succeeded()
    assert [budget.failed() for _ in range(5)] == [True] * 4 + [False], (
        "it holds no more than it did at first"
    )


def test_all_calls_of_a_client_share_it():
    policy = RetryPolicy()
    budget = policy.budget()
    made = [attempts(policy, budget).pause_after(AWAY) is not None for _ in range(8)]
    assert made == [True] * 4 + [False] * 4


def test_callers_mistakes_do_not_spend_the_budget():
    policy = RetryPolicy()
    budget = policy.budget()
    for _ in range(50):
        attempts(policy, budget).pause_after(InvalidInput("bad"))
    assert attempts(policy, budget).pause_after(AWAY) is not None
