"""The keeper: what is missing is loaded, what is dead repaired, what belongs to others left alone."""

import asyncio
import contextlib
import time

import numpy as np
import pytest
from support.fake_triton import FakeClient, FakeControl, FakeTriton
from support.loops import looping, until

from faults import DeadlineExceeded, Mismatch, NotFound, Unavailable
from retrieval_gateway.encoding.tower_client import TowerClient
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.triton_keeper import TritonKeeper

ROW = {"input_ids": np.ones((1, 3), np.int64), "attention_mask": np.ones((1, 3), np.int64)}
FIRST = {"query_tower": 1, "product_tower": 1}
SECOND = {"query_tower": 2, "product_tower": 2}


class Bench:
    def __init__(self) -> None:
        self.triton = FakeTriton(v1=(1, 8), v2=(2, 12), v3=(3, 8))
        self.metrics = Metrics()
        self.keeper = TritonKeeper(FakeControl(self.triton), self.metrics, interval_s=0.01)
        self.probes = 0
        self.suspended = []
        """Each model whose use was suspended, and how often it had been loaded by then."""

    def probe_of(self, versions):
        """A real inference of the query tower, as ``check_probes`` makes one."""
        client = TowerClient(
            FakeClient(self.triton),
            "fake",
            "query_tower",
            versions["query_tower"],
            ("query_embedding",),
            1.0,
            self.keeper.suspect,
        )

        async def probe() -> None:
            self.probes += 1
            await client.run(ROW)

        return probe

    async def add(self, versions, watch: bool = False) -> None:
        await self.keeper.add(versions, self.probe_of(versions))
        if watch:
            self.watch_with(self.probe_of(versions))

    def watch_with(self, probe) -> None:
        self.keeper.watch_with(probe, lambda model: self.suspended.append((model, self.triton.loads[model])))

    def running(self):
        return looping(self.keeper.run)

    @property
    def up(self) -> float:
        return self.metrics.registry.get_sample_value("vitrine_triton_up")


@pytest.fixture
def bench():
    return Bench()


async def test_a_releases_models_are_loaded_beside_what_is_there(bench):
    bench.triton.loaded["query_tower"] = {3}
    await bench.add(FIRST)
    assert bench.triton.loaded == {"query_tower": {1, 3}, "product_tower": {1}}
    await bench.add(SECOND)
    assert bench.triton.loaded == {"query_tower": {1, 2, 3}, "product_tower": {1, 2}}


async def test_removing_a_release_leaves_the_others_and_other_gateways_versions(bench):
    bench.triton.loaded["query_tower"] = {3}
    await bench.add(FIRST)
    await bench.add(SECOND)
    await bench.keeper.remove(FIRST)
    assert bench.triton.loaded == {"query_tower": {2, 3}, "product_tower": {2}}
    await bench.keeper.remove(SECOND)
    assert bench.triton.loaded == {"query_tower": {3}, "product_tower": set()}


async def test_what_another_gateway_needs_is_spared(bench):
    await bench.add(FIRST)
    await bench.keeper.remove(FIRST, spared=[{"query_tower": 1, "product_tower": 2}])
    assert bench.triton.loaded == {"query_tower": {1}, "product_tower": set()}


async def test_a_version_that_two_releases_share_stays_until_both_have_left(bench):
    mixed = {"query_tower": 1, "product_tower": 2}
    await bench.add(FIRST)
    await bench.add(mixed)
    await bench.keeper.remove(FIRST)
    assert bench.triton.loaded == {"query_tower": {1}, "product_tower": {2}}


async def test_what_cannot_be_added_is_taken_back_by_removing_it(bench):
    await bench.add(FIRST)
    absent = {"query_tower": 9, "product_tower": 2}
    with pytest.raises(NotFound, match="version 9"):
        await bench.add(absent)
    await bench.keeper.remove(absent)
    assert bench.triton.loaded == {"query_tower": {1}, "product_tower": {1}}

    async def disagrees() -> None:
        raise Mismatch("vector", expected=1, found=0, fix="Mend it.")

    with pytest.raises(Mismatch):
        await bench.keeper.add(SECOND, disagrees)
    await bench.keeper.remove(SECOND)
    assert bench.triton.loaded == {"query_tower": {1}, "product_tower": {1}}


async def test_removing_what_was_never_its_own_is_harmless(bench):
    """A gateway that is stopped while it waits for its turn to add has nothing to take back."""
    await bench.add(FIRST)
    await bench.keeper.remove(SECOND)
    assert bench.triton.loaded == {"query_tower": {1}, "product_tower": {1}}


async def test_what_serves_is_looked_at_after_another_release_was_added(bench):
    """Triton loads a version anew whose folder was changed, in passing, when another one is added."""
    await bench.add(FIRST, watch=True)
    async with bench.running():
        bench.triton.dead = {("query_tower", 1)}
        await bench.keeper.add(SECOND, bench.probe_of(SECOND))
        await until(lambda: not bench.triton.dead)


async def test_adding_to_a_triton_that_is_away_says_so(bench):
    bench.triton.away = True
    with pytest.raises(Unavailable):
        await bench.add(FIRST)


async def test_removing_from_a_triton_that_is_away_is_no_error(bench):
    await bench.add(FIRST)
    bench.triton.away = True
    await bench.keeper.remove(FIRST)


async def test_a_model_that_died_before_we_came_is_revived(bench):
    bench.triton.load_everything()
    bench.triton.dead = {("query_tower", 1)}
    await bench.add(FIRST)
    assert not bench.triton.dead


async def test_health_follows_the_real_inference(bench):
    assert not bench.keeper.healthy
    await bench.add(FIRST, watch=True)
    assert bench.keeper.healthy
    assert bench.up == 1
    bench.triton.away = True
    async with bench.running():
        await until(lambda: not bench.keeper.healthy)
        assert bench.up == 0


async def test_a_restarted_triton_gets_its_models_back(bench):
    await bench.add(FIRST, watch=True)
    async with bench.running():
        bench.triton.away = True
        await until(lambda: not bench.keeper.healthy)
        bench.triton.restart()
        await until(lambda: bench.keeper.healthy)
    assert bench.triton.loaded == {"query_tower": {1}, "product_tower": {1}}
    assert sorted(bench.suspended) == [("product_tower", 1), ("query_tower", 1)], "before they were loaded"


async def test_a_dead_stub_is_reloaded_and_the_healthy_model_is_not(bench):
    await bench.add(FIRST, watch=True)
    loads = bench.triton.loads.copy()
    async with bench.running():
        bench.triton.dead = {("query_tower", 1)}
        bench.keeper.suspect()
        await until(lambda: not bench.triton.dead and bench.keeper.healthy)
    assert bench.triton.loads["query_tower"] == loads["query_tower"] + 1
    assert bench.triton.loads["product_tower"] == loads["product_tower"]
    assert bench.suspended == [("query_tower", loads["query_tower"])]
    repairs = {"model": "query_tower"}
    assert bench.metrics.registry.get_sample_value("vitrine_triton_repairs_total", repairs) == 2


async def test_one_late_probe_is_not_repaired_but_several_are(bench):
    await bench.add(FIRST, watch=True)
    loads = bench.triton.loads.copy()
    late = [True]

    async def sometimes_late() -> None:
        if late:
            late.pop()
            raise DeadlineExceeded("late")

    bench.watch_with(sometimes_late)
    async with bench.running():
        bench.keeper.suspect()
        await until(lambda: not bench.keeper.healthy)
        await until(lambda: bench.keeper.healthy)
        assert bench.triton.loads == loads, "a busy Triton must not be reloaded"
        bench.watch_with(bench.probe_of(FIRST))
        bench.triton.late = {("query_tower", 1)}
        await until(lambda: not bench.triton.late and bench.keeper.healthy)


async def test_an_outage_is_watched_calmly_and_said_once(bench, capsys):
    await bench.add(FIRST, watch=True)
    bench.triton.away = True
    bench.probes, began = 0, time.monotonic()
    async with bench.running():
        for _ in range(100):  # searches go on failing, and each failure asks for a look
            bench.keeper.suspect()
            await asyncio.sleep(0.005)
    assert 1 <= bench.probes <= 2 + (time.monotonic() - began) / 0.2, "about four looks a second"
    assert "".join(capsys.readouterr()).count("does not answer") == 1


async def test_another_engine_under_the_same_version_is_not_health(bench):
    await bench.add(FIRST, watch=True)

    async def disagrees() -> None:
        raise Mismatch("vector of the probe", expected=1, found=0, fix="Mend it.")

    bench.watch_with(disagrees)
    async with bench.running():
        bench.keeper.suspect()
        await until(lambda: not bench.keeper.healthy)
        bench.watch_with(bench.probe_of(FIRST))
        assert bench.keeper.healthy


async def test_every_change_of_what_triton_has_loaded_waits_for_its_turn(bench):
    control, seen = bench.keeper._control, []

    @contextlib.contextmanager
    def turn():
        seen.append("begins")
        changes = bench.triton.loads.copy(), {name: set(ready) for name, ready in bench.triton.loaded.items()}
        assert changes == before[-1], "nothing was changed between two turns"
        yield
        before.append((bench.triton.loads.copy(), {name: set(r) for name, r in bench.triton.loaded.items()}))
        seen.append("ends")

    before = [(bench.triton.loads.copy(), {name: set(ready) for name, ready in bench.triton.loaded.items()})]
    bench.keeper.take_turns(turn)
    await bench.add(FIRST, watch=True)
    await bench.add(SECOND)
    await bench.keeper.remove(SECOND)
    async with bench.running():
        bench.triton.dead = {("query_tower", 1)}
        bench.keeper.suspect()
        await until(lambda: not bench.triton.dead and bench.keeper.healthy)
    assert control.ready_versions("query_tower") == (1,)
    assert seen == ["begins", "ends"] * (len(seen) // 2)
    assert before[-1][0] == bench.triton.loads
