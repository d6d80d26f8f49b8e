"""Parts start in any order, die and come back; and what is missing meanwhile is told."""

import itertools
import os
import signal
import threading

import pytest
from support.processes import eventually

from retrieval_gateway.client import HealthState
from runtime.backoff import Backoff
from runtime.supervisor import Supervisor
from vitrine.gateway_watch import lacking
from vitrine.local import local_stack, wait_until_ready

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

PARTS = ("valkey", "triton", "gateway")


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)), ids="-".join)
def test_parts_come_up_in_any_order(stack, tmp_path, order):
    settings = stack.settings.on_free_ports().model_copy(update={"var": tmp_path / "var"})
    services = {service.name: service for service in local_stack(settings).services}
    supervisor = Supervisor([services[name] for name in order])
    try:
        supervisor.start()
        wait_until_ready(settings.address, 60.0)
        metrics_url = f"http://{settings.host}:{settings.metrics_port}/metrics"
        assert eventually(lambda: lacking(metrics_url) == (), 30), "nothing is missing once all are there"
    finally:
        supervisor.stop()


def missing(gateway) -> tuple[str, ...]:
    return lacking(f"http://{gateway.settings.host}:{gateway.settings.metrics_port}/metrics")


def test_without_the_cache_it_is_ready_and_degraded(stack, gateway):
    assert eventually(lambda: missing(gateway) == (), 30)
    with hold_back(stack, "valkey"):
        os.kill(stack.valkey.pid, signal.SIGKILL)
        assert eventually(lambda: missing(gateway) == ("cache",), 20)
        assert gateway.client.health() is HealthState.SERVING
        assert gateway.client.search("plate without a cache").product_ids
    assert eventually(lambda: missing(gateway) == (), 30)


def test_without_triton_it_is_alive_and_degraded_and_answers_what_it_can(stack, gateway):
    cached = gateway.client.search("a plate that is cached")
    with hold_back(stack, "triton"):
        os.kill(stack.triton.pid, signal.SIGKILL)
        assert eventually(lambda: missing(gateway) == ("triton",), 20)
        assert eventually(lambda: gateway.client.health() is HealthState.NOT_SERVING)
        assert gateway.client.health("liveness") is HealthState.SERVING
        assert gateway.client.health("vitrine.retrieval.v1.ReleaseService") is HealthState.SERVING
        assert gateway.client.search("a plate that is cached").product_ids == cached.product_ids
        assert gateway.client.search(product_id=stack.catalogue.ids[0], bypass_cache=True).product_ids
    assert eventually(gateway.client.ready, 60)
    assert eventually(lambda: missing(gateway) == (), 30)


class hold_back:  # noqa: N801
    """Keeps the supervisor from starting a service again for the length of the block."""

    def __init__(self, stack, name: str) -> None:
        self._service = getattr(stack, name)
        self._may = threading.Event()

    def __enter__(self) -> None:
        start = self._service.start

        def later() -> None:
            self._may.wait(60)
            start()

        self._service.start = later

    def __exit__(self, *_: object) -> None:
        del self._service.start
        self._may.set()


def test_a_part_that_dies_again_and_again_is_tried_ever_more_rarely_and_comes_back(stack, tmp_path):
    settings = stack.settings.on_free_ports().model_copy(update={"var": tmp_path / "var"})
    valkey = next(part for part in local_stack(settings).services if part.name == "valkey")
    events = []
    supervisor = Supervisor([valkey], events.append, Backoff(first_s=0.1, jitter=0), check_every_s=0.02)
    try:
        supervisor.start()
        for deaths in (1, 2, 3):
            os.kill(valkey.pid, signal.SIGKILL)
            assert eventually(lambda deaths=deaths: [e.kind for e in events].count("restarted") == deaths, 30)
        assert [event.next_s for event in events if event.kind == "died"] == pytest.approx([0.1, 0.2, 0.4])
    finally:
        supervisor.stop()
