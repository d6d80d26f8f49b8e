"""Several gateways on one Triton and one store: they follow together and leave without loss."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections import Counter

import pytest
from support.processes import eventually

from faults import VitrineError
from retrieval_gateway.client import NO_RETRIES, HealthState, RetrievalClient

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

CLIENTS = 20
FOLLOW_WITHIN_S = 2.0


class Shoppers:
    """Closed loops over all gateways, without retries: what fails is counted, not hidden."""

    def __init__(self, addresses: list[str], clients: int = CLIENTS) -> None:
        self._client = RetrievalClient(addresses, timeout_s=20.0, retries=NO_RETRIES)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._shop, args=(number,)) for number in range(clients)]
        self.answers: Counter[str] = Counter()
        """By release."""
        self.failures: list[str] = []

    def _shop(self, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            try:
                reply = self._client.search(f"plate {number} {turn % 7}", bypass_cache=turn % 3 == 0)
                self.answers[reply.release_id] += 1
            except VitrineError as error:
                self.failures.append(str(error))

    @contextlib.contextmanager
    def shopping(self):
        with self._client:
            for thread in self._threads:
                thread.start()
            try:
                self.go_on()
                yield self
            finally:
                self._stop.set()
                for thread in self._threads:
                    thread.join()

    def go_on(self, searches: int = 100) -> None:
        """Returns after so many more answers."""
        enough = self.answers.total() + searches
        assert eventually(lambda: self.answers.total() >= enough, 60), self.failures[-1:]


def serving_id(gateway) -> str:
    return next((release.release_id for release in gateway.client.releases() if release.serving), "")


def loaded(stack, version: int) -> bool:
    return all(version in stack.control.ready_versions(model) for model in ("query_tower", "product_tower"))


@pytest.fixture(autouse=True)
def first_again(stack, gateway):
    yield
    stack.serve(stack.first.release_id)
    assert eventually(lambda: serving_id(gateway) == stack.first.release_id, 30)
    assert eventually(lambda: stack.control.ready_versions("query_tower") == (1,), 30)


def test_sigterm_under_load_loses_no_request(stack, observed):
    with (
        stack.gateway(VITRINE_LAME_DUCK_S="1.0") as stays,
        stack.gateway(VITRINE_LAME_DUCK_S="1.0") as leaves,
        Shoppers([stays.address, leaves.address]).shopping() as shoppers,
    ):
        assert eventually(lambda: leaves.metric("vitrine_requests_total", rpc="Search", code="OK") > 20)
        before = shoppers.answers.total()
        began = time.monotonic()
        os.kill(leaves.service.pid, signal.SIGTERM)
        assert eventually(lambda: leaves.client.health() is not HealthState.SERVING)
        assert eventually(lambda: not leaves.service.alive(), 20)
        took = time.monotonic() - began
        meanwhile = shoppers.answers.total() - before
        shoppers.go_on()
        assert leaves.exit_code == 0
    assert shoppers.failures == []
    assert meanwhile > 0
    observed(f"{meanwhile} searches by {CLIENTS} clients during {took:.1f} s of stopping, none failed")


def test_all_follow_one_switch_and_the_last_one_unloads(stack, observed):
    with (
        stack.gateway() as one,
        stack.gateway() as other,
        Shoppers([one.address, other.address], clients=4).shopping() as shoppers,
    ):
        gateways = [one, other]
        for release, version in ((stack.second, 2), (stack.first, 1), (stack.second, 2)):
            began = time.monotonic()
            stack.serve(release.release_id)
            assert eventually(lambda version=version: loaded(stack, version), 60, every_s=0.02)
            loading = time.monotonic() - began
            assert eventually(
                lambda release=release: {serving_id(gateway) for gateway in gateways} == {release.release_id},
                60,
                every_s=0.02,
            )
            took = time.monotonic() - began
            shoppers.go_on()
            for model in ("query_tower", "product_tower"):
                assert eventually(
                    lambda model=model, version=version: stack.control.ready_versions(model) == (version,), 30
                ), "the old engines leave once every gateway has"
            observed(
                f"both serve the other release {took:.2f} s after the switch, {loading:.2f} s of loading"
            )
            # Starting Triton's processes takes what the machine has; everything else is ours.
            assert took - loading < FOLLOW_WITHIN_S
        assert all(gateway.client.ready() for gateway in gateways)
    assert shoppers.failures == []
    assert set(shoppers.answers) == {stack.first.release_id, stack.second.release_id}


def test_engines_stay_while_one_gateway_has_not_followed_yet(stack):
    """One polls so rarely that it stays behind: it goes on answering from the old engines."""
    with stack.gateway(VITRINE_RELEASE_POLL_S="600") as behind, stack.gateway() as ahead:
        stack.serve(stack.second.release_id)
        assert eventually(lambda: serving_id(ahead) == stack.second.release_id, 30)
        eventually(lambda: False, within_s=2.0)  # well beyond the grace
        assert behind.client.search("a new plate", bypass_cache=True).release_id == stack.first.release_id
        assert {1, 2} <= set(stack.control.ready_versions("query_tower"))
        assert stack.first.release_id in stack.store.in_use()
    assert eventually(lambda: stack.first.release_id not in stack.store.in_use())


def test_a_gateway_that_is_stopped_within_the_grace_leaves_no_old_engine_behind(stack, gateway):
    with stack.gateway(VITRINE_RELEASE_GRACE_S="600") as leaves:
        stack.serve(stack.second.release_id)
        for one in (leaves, gateway):
            assert eventually(lambda one=one: serving_id(one) == stack.second.release_id, 30)
        assert 1 in stack.control.ready_versions("query_tower"), "kept for its grace"
    for model in ("query_tower", "product_tower"):
        assert eventually(lambda model=model: stack.control.ready_versions(model) == (2,), 30)


@pytest.fixture
def copy_of_second(stack):
    """A third release, with the second one's engines."""
    original = stack.store.path(stack.second.release_id)
    release_id = stack.second.release_id[:-6] + secrets.token_hex(3)
    folder = original.with_name(release_id)
    shutil.copytree(original, folder)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"release_id": release_id}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    yield release_id
    stack.serve(stack.first.release_id)
    assert eventually(lambda: release_id not in stack.store.in_use(), 30)
    shutil.rmtree(folder)


def test_a_release_that_a_gateway_serves_is_not_retired(stack, gateway, copy_of_second):
    """It is neither active nor the one before, and stays all the same."""
    with stack.gateway(VITRINE_RELEASE_POLL_S="600") as behind:
        stack.serve(stack.second.release_id)
        stack.serve(copy_of_second)
        assert eventually(lambda: serving_id(gateway) == copy_of_second, 30), "the usual one has moved on"
        assert stack.store.retire(1) == []
        assert behind.client.search("plate", bypass_cache=True).release_id == stack.first.release_id
        assert serving_id(behind) == stack.first.release_id
