"""One tiny pair of towers, exported once, as the parts leave it for each other."""

import pytest
from gpu_rehearsal import SMALLEST, Rehearsal
from support.tiny_shop import tiny_checkpoint

from benchmarks.gpu_check import ceilings, exporting
from benchmarks.gpu_check.parts import Recorder
from benchmarks.gpu_check.scale import Scale
from towers.checkpoint import save_checkpoint


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    work = tmp_path_factory.mktemp("gpu-check")
    save_checkpoint(tiny_checkpoint(), work / "checkpoint")
    rates = Recorder(work / "ceilings.json", 60.0, {})
    ceilings.measure(rates, "cpu", SMALLEST.matrices, SMALLEST.copy_bytes)
    graphs = Recorder(work / "export.json", 120.0, {})
    exporting.measure(graphs, SMALLEST, work, [work / "checkpoint"])
    so_far = {"parts": {"ceilings": {"result": rates.section}, "export": {"result": graphs.section}}}
    return Rehearsal(work, work / "checkpoint", so_far)


@pytest.fixture
def smallest() -> Scale:
    return SMALLEST
