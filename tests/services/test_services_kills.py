"""What is killed while searches run: what the clients saw, and that all comes back by itself."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import pytest
from support.processes import eventually, stubs

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.api.generated.retrieval_service_pb2_grpc import RetrievalServiceStub

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

RECOVERY_S = 30.0
CACHED = "the cached plate"


@dataclass
class Shoppers:
    """Threads that search without a pause, three with new words each time and one with the same."""

    address: str
    fresh: Counter = field(default_factory=Counter)
    cached: Counter = field(default_factory=Counter)
    last_failure: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._shop, args=(number, self.cached if number == 0 else self.fresh))
            for number in range(4)
        ]

    def _shop(self, number: int, seen: Counter) -> None:
        with grpc.insecure_channel(self.address) as channel:
            search = RetrievalServiceStub(channel).Search
            while not self._stop.is_set():
                text = CACHED if seen is self.cached else f"plate {number} {random.random()}"
                try:
                    reply = search(pb.SearchRequest(query=pb.Query(text=text)), timeout=10)
                    degraded = pb.DEGRADATION_DENSE_CHANNEL_FAILED in reply.degradations
                    outcome = "DEGRADED" if degraded else "OK"
                except grpc.RpcError as error:
                    outcome = error.code().name
                seen[outcome] += 1
                if outcome != "OK":
                    self.last_failure = time.monotonic()
                time.sleep(0.005)

    @contextlib.contextmanager
    def shopping(self):
        for thread in self._threads:
            thread.start()
        try:
            eventually(lambda: self.fresh["OK"] > 10 and self.cached["OK"] > 10)
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


@pytest.fixture
def shoppers(gateway):
    gateway.client.search(CACHED)
    with Shoppers(gateway.address).shopping() as shoppers:
        yield shoppers


def kill(pid: int) -> float:
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def recovered(gateway, shoppers) -> bool:
    """SERVING, and new words answered by the towers again."""
    before = shoppers.fresh["OK"]
    return gateway.client.ready() and bool(eventually(lambda: shoppers.fresh["OK"] > before + 20, 2.0))


def check_and_report(gateway, shoppers, observed, killed_at: float) -> None:
    assert eventually(lambda: recovered(gateway, shoppers), RECOVERY_S), gateway.service.last_words()
    after_s = max(0.0, shoppers.last_failure - killed_at)
    seen = f"new words {dict(shoppers.fresh)}, cached {dict(shoppers.cached)}"
    observed(f"{seen}, last failure {after_s:.1f} s after the kill")
    assert set(shoppers.cached) == {"OK"}, "a cached answer needs nobody"
    assert set(shoppers.fresh) <= {"OK", "DEGRADED"}, "full text answers where the towers do not"


def test_a_killed_stub_of_the_query_tower(stack, gateway, shoppers, observed):
    repairs = gateway.metric("vitrine_triton_repairs_total", model="query_tower")
    killed_at = kill(stubs(stack.triton.shared_memory_prefix)["query_tower/1"])
    assert eventually(lambda: not gateway.client.ready(), 10), "health must tell"
    check_and_report(gateway, shoppers, observed, killed_at)
    assert shoppers.fresh["DEGRADED"] > 0
    assert gateway.metric("vitrine_triton_repairs_total", model="query_tower") == repairs + 1


def test_a_killed_stub_of_the_product_tower_costs_no_search_in_words(stack, gateway, shoppers, observed):
    killed_at = kill(stubs(stack.triton.shared_memory_prefix)["product_tower/1"])
    assert eventually(lambda: not gateway.client.ready(), 10), "health must tell"
    check_and_report(gateway, shoppers, observed, killed_at)
    assert set(shoppers.fresh) == {"OK"}
    picture = stack.catalogue.pictures(stack.catalogue.ids[0])[0].data
    assert gateway.client.search(picture=picture).product_ids


def test_a_killed_triton(stack, gateway, shoppers, observed):
    like = stack.catalogue.ids[3]
    killed_at = kill(stack.triton.pid)
    assert eventually(lambda: not gateway.client.ready(), 10), "health must tell"
    assert gateway.client.search(product_id=like, bypass_cache=True).product_ids, "needs no Triton"
    check_and_report(gateway, shoppers, observed, killed_at)
    assert shoppers.fresh["DEGRADED"] > 0
    assert gateway.service.alive()
    lines = [line for line in gateway.log() if "does not answer" in line["event"]]
    assert len(lines) < 10, "an outage must not flood the log"


def test_a_killed_cache(stack, gateway, shoppers, observed):
    killed_at = kill(stack.valkey.pid)
    assert eventually(
        lambda: [event.kind for event in stack.events if event.service == "valkey"][-1] == "restarted"
    )
    check_and_report(gateway, shoppers, observed, killed_at)
    assert set(shoppers.fresh) == {"OK"}, "the loss of the cache is never an error"
    assert gateway.client.ready()
    hits = gateway.metric("vitrine_cache_events_total", kind="redis_hit")
    with stack.gateway() as other:

        def stored() -> bool:
            text = f"stored again {random.random()}"
            other.client.search(text)
            gateway.client.search(text)
            return gateway.metric("vitrine_cache_events_total", kind="redis_hit") > hits

        assert eventually(stored, RECOVERY_S), "the restarted cache is used again without a restart of ours"


def test_a_hung_stub_is_repaired_like_a_dead_one(stack, gateway, shoppers, observed):
    began = time.monotonic()
    os.kill(stubs(stack.triton.shared_memory_prefix)["query_tower/1"], signal.SIGSTOP)
    assert eventually(lambda: not gateway.client.ready(), 15), "health must tell"
    check_and_report(gateway, shoppers, observed, began)


def test_a_killed_gateway_takes_nothing_with_it(stack):
    with stack.gateway() as doomed:
        kill(doomed.service.pid)
        assert eventually(lambda: not doomed.service.alive())
    with stack.gateway() as next_one:
        assert next_one.client.search("plate").product_ids
