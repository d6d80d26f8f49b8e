import signal
from pathlib import Path

import pytest
from prometheus_client import start_http_server

from faults import Unavailable
from retrieval_gateway.client import HealthState
from retrieval_gateway.metrics import Metrics
from runtime.supervisor import Event
from vitrine import serve
from vitrine.gateway_watch import State, state_of
from vitrine.serve import print_event, stop_all


class Watcher:
    """Stands for the supervisor; says what happened to it."""

    def __init__(
        self, name: str = "all", log: list[str] | None = None, error: Exception | None = None
    ) -> None:
        self.name, self.log, self.error = name, [] if log is None else log, error
        self.seconds = 0.0

    def __call__(self, services: object, on_event: object) -> "Watcher":
        assert services
        assert on_event is print_event
        return self

    def start(self) -> None:
        self.log.append(f"start {self.name}")
        if self.error is not None:
            raise self.error

    def stop(self, within_s: float) -> None:
        self.seconds = within_s
        self.log.append(f"stop {self.name}")


def interrupted(_: float) -> None:
    raise KeyboardInterrupt


def test_serving_without_a_release_says_how_to_make_one_and_ctrl_c_stops_all(
    vitrine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher()
    monkeypatch.setattr(serve, "Supervisor", watcher)
    monkeypatch.setattr(serve.time, "sleep", interrupted)
    done = vitrine("serve")
    assert done.code == 0
    assert watcher.log == ["start all", "stop all"]
    assert "vitrine index --activate" in " ".join(done.err.split())


def test_an_active_release_is_waited_for(vitrine, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(serve, "Supervisor", Watcher())
    monkeypatch.setattr(serve.time, "sleep", interrupted)
    monkeypatch.setattr(serve, "wait_until_ready", lambda address, _: waited.append(address))
    Path("var/releases").mkdir(parents=True)
    Path("var/releases/ACTIVE").write_text("20261120T101500Z-3f9a1c\n")
    assert vitrine("serve").code == 0
    assert waited == ["127.0.0.1:50051"]


def test_a_service_that_does_not_start_stops_the_rest(vitrine, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(error=Unavailable("Triton did not start", field="triton"))
    monkeypatch.setattr(serve, "Supervisor", watcher)
    done = vitrine("serve")
    assert done.code == 3
    assert "Triton did not start" in done.err
    assert watcher.log == ["start all", "stop all"]


def test_all_are_stopped_in_order_within_ten_seconds_and_a_second_ctrl_c_changes_nothing() -> None:
    log: list[str] = []
    front, backing = Watcher("front", log), Watcher("backing", log)
    stop_all(front, backing)  # type: ignore[arg-type]
    assert log == ["stop front", "stop backing"]
    assert 0 < front.seconds + backing.seconds <= 10.0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_an_event_is_one_line_and_a_death_has_the_end_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    print_event(Event("triton", "started"))
    print_event(Event("triton", "start_failed", "[bold]no such port[/]\n", attempt=2, next_s=3.98))
    print_event(Event("triton", "restarted", "not shown", attempt=3))
    assert capsys.readouterr().err.splitlines() == [
        "triton started",
        "triton start failed (attempt 2), trying again in 4.0 s",
        "[bold]no such port[/]",
        "triton restarted (attempt 3)",
    ]


def test_the_gateways_state_is_told_when_it_changes_and_not_in_between(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready, waiting = HealthState.SERVING, HealthState.NOT_SERVING
    states = iter(
        [(ready, ()), (ready, ()), (ready, ("cache",)), (waiting, ("cache", "triton")), (ready, ())]
    )

    def look() -> State:
        try:
            return next(states)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(serve.time, "sleep", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        serve.tell_changes(look)
    assert capsys.readouterr().err.splitlines() == [
        "gateway ready, degraded: without cache",
        "gateway not ready, degraded: without cache, triton",
        "gateway ready",
    ]


def test_what_a_gateway_lacks_stands_on_its_metrics_page() -> None:
    metrics = Metrics()
    server, thread = start_http_server(0, "127.0.0.1", metrics.registry)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    try:
        assert state_of(lambda: HealthState.SERVING, url) == (HealthState.SERVING, ())
        metrics.degraded.lacks("triton", True)
        metrics.degraded.lacks("cache", True)
        assert state_of(lambda: HealthState.NOT_SERVING, url) == (
            HealthState.NOT_SERVING,
            ("cache", "triton"),
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert state_of(lambda: HealthState.SERVING, url) == (HealthState.SERVING, ()), "no page, no reasons"
    assert state_of(lambda: HealthState.AWAY, url) == (HealthState.AWAY, ())
