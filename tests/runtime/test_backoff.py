"""Pauses between restarts, with no clock but the test's."""

from runtime.backoff import Backoff, Restarts

PLAIN = Backoff(first_s=0.5, factor=2, longest_s=30, stable_s=60, jitter=0)


def test_pauses_grow_and_are_bounded():
    assert [PLAIN.pause_s(attempt) for attempt in (1, 2, 3, 7, 8, 10**6)] == [0.5, 1, 2, 30, 30, 30]


def test_pauses_scatter_so_that_what_died_together_does_not_start_together():
    backoff = Backoff(first_s=1.0, jitter=0.25)
    assert [backoff.pause_s(1, uniform) for uniform in (0.0, 0.5, 1.0)] == [0.75, 1.0, 1.25]
    together = {Restarts(Backoff(), now=0.0).failed(1.0) for _ in range(20)}
    assert len(together) == 20


def restarts() -> Restarts:
    return Restarts(PLAIN, now=100.0, uniform=lambda: 0.5)


def test_deaths_in_a_row_wait_ever_longer_and_none_is_the_last():
    service, now = restarts(), 100.0
    pauses = []
    for _ in range(1000):
        pauses.append(service.failed(now))
        now += pauses[-1]
        service.came_up(now)
        now += 59.0
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert set(pauses[7:]) == {30}
    assert service.attempt == 1000


def test_a_service_that_ran_for_a_while_begins_anew():
    service = restarts()
    for now in (101.0, 102.0, 104.0):
        service.failed(now)
        service.came_up(now + 1)
    assert service.failed(105.0 + 60.0) == 0.5
    assert service.attempt == 1


def test_a_start_that_fails_for_long_is_no_calm_while():
    service = restarts()
    service.failed(101.0)
    assert service.failed(101.0 + 3600.0) == 1
    assert service.attempt == 2


def test_a_first_death_after_a_long_life_is_the_first():
    assert restarts().failed(100.0 + 10**6) == 0.5
