"""Starting in any order, stopping without loss and without remains."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.pictures import plain_png
from support.processes import eventually, running, shared_memory, stubs
from support.stack import Gateway

from faults import Unavailable
from releases.store import ReleaseStore
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub
from runtime.supervisor import Supervisor
from vitrine.local import local_stack, triton_service, wait_until_ready

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

States = health_pb2.HealthCheckResponse


def complaint(gateway) -> str:
    with pytest.raises(Unavailable) as refused:
        gateway.client.search("glass plate")
    return str(refused.value)


def test_the_order_of_starting_does_not_matter(stack, tmp_path, observed):
    """Gateway first, then a release, then Triton: each step says what is still missing."""
    settings = stack.settings.on_free_ports().model_copy(
        update={"release_store": tmp_path / "releases", "var": tmp_path / "var"}
    )
    triton = triton_service(settings)
    with Gateway(settings, stack.valkey.url, {}) as gateway:
        assert not gateway.client.ready()
        assert "no release is active" in complaint(gateway)
        release_id = stack.first.release_id
        shutil.copytree(stack.store.path(release_id), settings.release_store / release_id)
        ReleaseStore(settings.release_store).activate(release_id)
        assert eventually(lambda: "cannot be reached" in complaint(gateway))
        assert not gateway.client.ready()
        try:
            triton.start()
            began = time.monotonic()
            wait_until_ready(gateway.address, 30.0)
            observed(f"SERVING {time.monotonic() - began:.1f} s after Triton came")
            assert gateway.client.search("glass plate").release_id == release_id
        finally:
            triton.stop(8.0)
        assert eventually(lambda: not gateway.client.ready())


class Watch:
    """The states that the health service streams to a balancer."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.states: list[int] = []
        self._stream = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for reply in self._stream:
                self.states.append(reply.status)
        except grpc.RpcError:
            pass

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join()


def slow(number: int) -> pb.SearchRequest:
    """A search of about a second, another one for each number."""
    return pb.SearchRequest(query=pb.Query(picture=plain_png(8000, 4900 + number)))


def test_sigterm_lets_the_searches_in_work_finish(stack, observed):
    requests = [slow(1), slow(2)]
    with stack.gateway() as gateway, grpc.insecure_channel(gateway.address) as channel:
        watch = Watch(channel)
        search = RetrievalServiceStub(channel).Search
        assert eventually(lambda: watch.states == [States.SERVING])
        in_work = [search.future(request, timeout=20) for request in requests]
        assert eventually(lambda: gateway.metric("vitrine_requests_in_flight") == 2)
        began = time.monotonic()
        os.kill(gateway.service.pid, signal.SIGTERM)
        assert eventually(lambda: watch.states[-1] == States.NOT_SERVING), "a balancer must learn of it"
        with pytest.raises(grpc.RpcError) as refused:
            search(pb.SearchRequest(query=pb.Query(text="too late")), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        for call in in_work:
            assert call.result().product_ids
        assert eventually(lambda: not gateway.service.alive(), 10)
        observed(f"ended {time.monotonic() - began:.1f} s after SIGTERM, with 2 searches in work")
        assert gateway.exit_code == 0
        watch.close()


def test_a_search_that_outlasts_the_drain_is_ended(stack):
    request = slow(3)
    with stack.gateway(VITRINE_DRAIN_S="0") as gateway, grpc.insecure_channel(gateway.address) as channel:
        call = RetrievalServiceStub(channel).Search.future(request, timeout=20)
        assert eventually(lambda: gateway.metric("vitrine_requests_in_flight") == 1)
        os.kill(gateway.service.pid, signal.SIGTERM)
        assert call.exception(timeout=20).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert eventually(lambda: not gateway.service.alive(), 10)
        assert gateway.exit_code == 0


@pytest.mark.parametrize("variable", ["VITRINE_PORT", "VITRINE_METRICS_PORT"])
def test_a_port_in_use_is_named_with_its_holder(gateway, variable):
    taken = {"VITRINE_PORT": gateway.settings.port, "VITRINE_METRICS_PORT": gateway.settings.metrics_port}[
        variable
    ]
    done = subprocess.run(
        [sys.executable, "-m", "retrieval_gateway"],
        env={**os.environ, "VITRINE_PORT": "0", "VITRINE_METRICS_PORT": "0", variable: str(taken)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{variable}: 127.0.0.1:{taken} is held by process {gateway.service.pid}" in done.stderr
    assert "Traceback" not in done.stderr
    assert gateway.client.ready()


def test_the_whole_system_stops_in_time_and_leaves_nothing(stack, tmp_path, observed):
    settings = stack.settings.on_free_ports().model_copy(update={"var": tmp_path / "var"})
    system = local_stack(settings)
    supervisor = Supervisor(system.services)
    before = children()
    try:
        supervisor.start()
        wait_until_ready(settings.address, 30.0)
        prefix = system.triton.shared_memory_prefix
        everything = {
            *(children() - before),
            *(part.pid for part in system.services),
            *stubs(prefix).values(),
        }
        assert len(everything) >= 8, "three servers with a guardian each, two stubs"
        assert shared_memory(prefix)
    finally:
        began = time.monotonic()
        supervisor.stop()
    took = time.monotonic() - began
    observed(f"stopped in {took:.1f} s")
    assert took < 10
    assert not [pid for pid in everything if running(pid)]
    assert not shared_memory(prefix)
    assert children() <= before, "no zombie either"


def children() -> set[int]:
    """Our own child processes, zombies included."""
    found = set()
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208
        with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:  # noqa: PTH123
            found |= {int(pid) for pid in file.read().split()}
    return found
