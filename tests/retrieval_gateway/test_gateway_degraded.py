"""Degraded: each reason is a gauge and one line in the log when it begins and when it ends."""

import pytest
from prometheus_client import CollectorRegistry, Gauge

from retrieval_gateway.degraded import Degraded
from retrieval_gateway.metrics import Metrics


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.registry = CollectorRegistry()
        gauge = Gauge("vitrine_degraded", "-", ("reason",), registry=self.registry)
        self.degraded = Degraded(gauge, lambda: self.now)

    def shown(self, reason: str) -> float | None:
        return self.registry.get_sample_value("vitrine_degraded", {"reason": reason})


@pytest.fixture
def bench():
    return Bench()


def test_every_reason_is_shown_from_the_beginning():
    registry = Metrics().registry
    for reason in ("triton", "cache", "dense_channel", "lexical_channel", "gpu_index"):
        assert registry.get_sample_value("vitrine_degraded", {"reason": reason}) == 0


def test_reasons_come_and_go_and_each_change_is_said_once(bench, capsys):
    for _ in range(3):
        bench.degraded.lacks("triton", True)
    bench.degraded.lacks("cache", True)
    assert bench.degraded.reasons == ("cache", "triton")
    assert bench.shown("triton") == bench.shown("cache") == 1
    for _ in range(3):
        bench.degraded.lacks("triton", False)
    assert bench.degraded.reasons == ("cache",)
    assert bench.shown("triton") == 0
    said = "".join(capsys.readouterr())
    assert (said.count("degraded "), said.count("no longer degraded")) == (3, 1)


def test_a_reason_that_searches_tell_ends_after_a_calm_while_only(bench, capsys):
    for _ in range(50):
        bench.degraded.saw("lexical_channel", failed=True)
        bench.degraded.saw("lexical_channel", failed=False)
        bench.now += 0.1
    assert bench.degraded.reasons == ("lexical_channel",)
    bench.now += 10
    bench.degraded.saw("lexical_channel", failed=False)
    assert bench.degraded.reasons == ()
    assert "".join(capsys.readouterr()).count("lexical_channel") == 3, "no flood"


def test_a_channel_that_works_is_nothing_to_tell(bench):
    bench.degraded.saw("dense_channel", failed=False)
    assert bench.degraded.reasons == ()
