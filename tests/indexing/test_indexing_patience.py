"""Indexing beside a gateway that repairs Triton: what passes is waited out, what does not is said."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from support.fake_triton import FakeClient, FakeControl, FakeTriton
from tritonclient.utils import InferenceServerException

from faults import InvalidInput, Unavailable
from indexing.patient_client import PatientClient
from retrieval_gateway.encoding.tower_client import TowerClient

ROW = {"input_ids": np.ones((1, 3), np.int64), "attention_mask": np.ones((1, 3), np.int64)}


class Bench:
    """A tower called patiently; pauses take no time, and the next event happens in each."""

    def __init__(self, within_s: float = 60.0) -> None:
        self.triton = FakeTriton(v1=(1, 8))
        self.triton.load_everything()
        self.control = FakeControl(self.triton)
        self.now = 0.0
        self.happens: list = []
        patient = PatientClient(
            FakeClient(self.triton), "fake", within_s, self.load_again, lambda: self.now, self.sleep
        )
        self.tower = TowerClient(patient, "fake", "query_tower", 1, ("query_embedding",), 1.0)

    def load_again(self) -> None:
        if self.control.ready_versions("query_tower") != (1,):
            self.control.load_versions("query_tower", [1])

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.happens:
            self.happens.pop(0)()
        await asyncio.sleep(0)


async def test_a_restarted_triton_is_waited_for_and_gets_its_model_back():
    bench = Bench()
    bench.triton.away = True
    bench.happens = [lambda: None, lambda: None, bench.triton.restart]
    assert (await bench.tower.run(ROW))["query_embedding"].shape == (1, 8)
    assert bench.triton.loaded["query_tower"] == {1}
    assert bench.now > 1, "pauses grow"


async def test_a_model_that_somebody_unloaded_is_loaded_again():
    bench = Bench()
    bench.control.unload("query_tower")
    assert (await bench.tower.run(ROW))["query_embedding"].shape == (1, 8)


async def test_a_stub_that_somebody_else_repairs_is_waited_for():
    bench = Bench()
    bench.triton.dead = {("query_tower", 1)}
    bench.happens = [lambda: None, bench.triton.dead.clear]
    assert (await bench.tower.run(ROW))["query_embedding"].shape == (1, 8)


async def test_what_does_not_come_back_in_time_is_said():
    bench = Bench(within_s=5.0)
    bench.triton.away = True
    with pytest.raises(Unavailable, match="failed to connect"):
        await bench.tower.run(ROW)
    assert 1 < bench.now <= 5


async def test_what_does_not_pass_is_not_waited_for():
    class Refusing:
        async def infer(self, *_: object, **__: object) -> None:
            raise InferenceServerException("unexpected shape", "StatusCode.INVALID_ARGUMENT")

    patient = PatientClient(Refusing(), "fake", 60.0, lambda: pytest.fail("nothing is missing"))
    tower = TowerClient(patient, "fake", "query_tower", 1, ("query_embedding",), 1.0)
    with pytest.raises(InvalidInput, match="unexpected shape"):
        await tower.run(ROW)
