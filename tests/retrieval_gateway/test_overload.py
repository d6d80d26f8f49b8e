"""Overload, simulated: goodput stays near the knee however much is offered, and a fixed bound drowns."""

import pytest
from overload_model import Gateway, Service, adaptive

from retrieval_gateway.adaptive_limit import AdaptiveLimit

SERVICES = {
    "2 ms": Service(lambda _: 0.002),
    "20 ms": Service(lambda _: 0.02),
    "100 ms": Service(lambda _: 0.1),
    "400 ms": Service(lambda _: 0.4),
    "one of 400 ms": Service(lambda _: 0.4, calls=1),
    "20 ms, spread": Service(lambda _: 0.02, spread=True),
    "400 ms, spread": Service(lambda _: 0.4, spread=True),
    "gathered, fast": Service(lambda rows: 0.002 + 0.0007 * rows, rows=32),
    "gathered, slow": Service(lambda rows: 0.2 + 0.02 * rows, rows=32),
    "gathered, half a second whatever the rows": Service(lambda _: 0.5, rows=32),
}
ANSWERS = 2000
"""At capacity, in the time that is looked at: enough for a few per cent."""


def goodput(service: Service, times: float, admission_of, deadline_s: float = 2.0) -> float:
    """Answers in time a second, once the limit has had twenty calls and two seconds to settle."""
    settled = 2.0 + 20 * service.seconds(service.rows)
    run = Gateway(service, times * service.capacity, deadline_s, admission_of)
    return run.run(settled + ANSWERS / service.capacity).goodput(since=settled)


def knee(service: Service, deadline_s: float = 2.0) -> float:
    """The most that it answers in time while nobody is refused, over the load that is offered."""
    return max(goodput(service, share, None, deadline_s) for share in (0.7, 0.8, 0.9, 1.0))


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_goodput_stays_near_the_knee(service):
    least = 0.9 * knee(service)
    for times in (2.0, 5.0):
        assert goodput(service, times, adaptive()) >= least, f"at {times:g} times the capacity"


@pytest.mark.parametrize("name", ["20 ms", "20 ms, spread", "gathered, fast"])
def test_it_does_so_for_callers_in_a_hurry_too(name):
    service = SERVICES[name]
    least = 0.9 * knee(service, 0.3)
    for times in (2.0, 5.0):
        assert goodput(service, times, adaptive(), 0.3) >= least, f"at {times:g} times the capacity"


def test_below_the_knee_hardly_anybody_is_refused():
    for service in SERVICES.values():
        offered = 0.8 * service.capacity
        assert goodput(service, 0.8, adaptive()) >= 0.95 * min(offered, goodput(service, 0.8, None))


def test_a_fixed_bound_drowns_where_the_service_is_slow(monkeypatch):
    """What is tested above is the limit's doing: held at 256, nearly everything is late."""
    monkeypatch.setattr(AdaptiveLimit, "__int__", lambda _: 256)
    service = SERVICES["100 ms"]
    assert goodput(service, 5.0, adaptive()) < 0.2 * knee(service)


def test_after_a_stall_it_recovers():
    service = SERVICES["20 ms"]
    run = Gateway(service, 2 * service.capacity, 2.0, adaptive(), stalled=(10.0, 16.0)).run(40.0)
    assert not [at for at in run.good if 12.5 < at < 16.0], "nothing is answered in a stall"
    before = [limit for at, limit in run.limits if at < 10.0][-1]
    assert min(limit for at, limit in run.limits if at > 12.0) < before / 2, "and the limit has fallen"
    assert run.goodput(since=20.0) >= 0.9 * service.capacity


def test_every_run_is_the_same():
    service = SERVICES["20 ms, spread"]
    first, second = [Gateway(service, 300.0, 2.0, adaptive()).run(20.0) for _ in range(2)]
    assert first.good == second.good
    assert first.limits == second.limits
