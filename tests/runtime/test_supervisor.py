import threading

import pytest
from support.processes import eventually

import faults
from runtime.backoff import Backoff
from runtime.supervisor import Supervisor

QUICK = Backoff(first_s=0.001, longest_s=0.002, jitter=0)


class FakeService:
    def __init__(self, name, journal, failures=0):
        self.name, self.journal, self.failures, self.up = name, journal, failures, False

    def start(self):
        if self.failures:
            self.failures -= 1
            raise faults.Unavailable(f"{self.name} would not start")
        self.up = True
        self.journal.append(f"start {self.name}")

    def alive(self):
        return self.up

    def stop(self, grace_s):
        assert grace_s >= 0
        self.up = False
        self.journal.append(f"stop {self.name}")

    def last_words(self):
        return "the end of the log"


def supervised(*services, backoff=QUICK, **options):
    events = []
    return Supervisor(services, events.append, backoff, check_every_s=0.002, **options), events


def test_services_start_in_order_and_stop_in_reverse():
    journal = []
    supervisor, events = supervised(*(FakeService(name, journal) for name in "abc"))
    supervisor.start()
    supervisor.stop()
    assert journal == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]
    assert [(event.service, event.kind) for event in events][3:] == [
        ("c", "stopped"),
        ("b", "stopped"),
        ("a", "stopped"),
    ]


def test_a_failed_start_stops_those_before_it_and_is_raised():
    journal = []
    supervisor, _ = supervised(
        FakeService("a", journal), FakeService("b", journal, failures=1), FakeService("c", journal)
    )
    with pytest.raises(faults.Unavailable, match="b would not start"):
        supervisor.start()
    assert journal[0] == "start a"
    assert journal[-1] == "stop a"
    assert "start c" not in journal


def test_the_dead_is_cleaned_up_and_restarted_and_the_living_left_alone():
    journal = []
    living, dying = FakeService("living", journal), FakeService("dying", journal)
    supervisor, events = supervised(living, dying)
    supervisor.start()
    dying.failures = 2
    dying.up = False
    assert eventually(lambda: events[-1].kind == "restarted")
    assert [(event.kind, event.attempt) for event in events[2:]] == [
        ("died", 0),
        ("start_failed", 1),
        ("start_failed", 2),
        ("restarted", 3),
    ]
    assert events[2].detail == "the end of the log"
    assert "dying would not start" in events[3].detail
    assert [event.next_s for event in events[2:]] == [0.001, 0.002, 0.002, None]
    assert journal == ["start living", "start dying", *["stop dying"] * 3, "start dying"]
    supervisor.stop()


def test_deaths_in_a_row_count_on_until_a_stable_while():
    def attempts(lives_s):
        now, service = [100.0], FakeService("a", [])
        supervisor, events = supervised(service, backoff=QUICK, clock=lambda: now[0])
        supervisor.start()
        for expected in (1, 2):
            now[0] += lives_s
            service.up = False
            assert eventually(lambda n=expected: sum(event.kind == "restarted" for event in events) == n)
        supervisor.stop()
        return [event.attempt for event in events if event.kind == "restarted"]

    assert attempts(QUICK.stable_s - 1) == [1, 2]
    assert attempts(QUICK.stable_s) == [1, 1]


def test_stop_during_a_restart_leaves_nothing_running():
    entered, leave = threading.Event(), threading.Event()

    class Slow(FakeService):
        def start(self):
            if self.journal:
                entered.set()
                leave.wait(10)
            super().start()

        def stop(self, grace_s):
            super().stop(grace_s)
            if entered.is_set():
                leave.set()

    service = Slow("slow", [])
    supervisor, events = supervised(service)
    supervisor.start()
    service.up = False
    assert entered.wait(10)
    supervisor.stop()
    assert not service.up
    assert events[-1].kind == "stopped"


def test_stop_is_idempotent_and_shares_its_time_among_the_services():
    graces = []

    class Timed(FakeService):
        def stop(self, grace_s):
            graces.append(grace_s)

    supervisor, _ = supervised(*(Timed(name, []) for name in "abc"))
    supervisor.start()
    supervisor.stop(within_s=9)
    assert [round(grace) for grace in graces] == [3, 4, 9]
    supervisor.stop()


def test_neither_a_bug_nor_a_deaf_listener_ends_the_supervision():
    class Buggy(FakeService):
        def start(self):
            if self.failures:
                self.failures -= 1
                raise ZeroDivisionError("a bug")
            super().start()

    heard = []

    def deaf(event):
        heard.append(event)
        raise BrokenPipeError("the terminal is closed")

    service = Buggy("a", [])
    supervisor = Supervisor([service], deaf, QUICK, check_every_s=0.002)
    supervisor.start()
    for _ in range(2):
        service.failures = 1
        service.up = False
        assert eventually(lambda: service.up)
    supervisor.stop()
    assert [event.detail for event in heard if event.kind == "start_failed"] == ["a bug"] * 2
