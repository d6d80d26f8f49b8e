"""What is kept between runs, what is left to do, and what a row finds when something is missing."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.experiments import arm_list, evidence, planning
from benchmarks.experiments.arm_list import ARMS
from benchmarks.experiments.arms import Arm
from benchmarks.experiments.claims import Claim, Row, Samples
from benchmarks.experiments.evidence import Evidence, Missing
from benchmarks.experiments.measures.findings import read_findings, write_findings
from benchmarks.experiments.planning import Clock, plan
from benchmarks.experiments.rows.criteria import above
from benchmarks.experiments.scale import QUICK
from benchmarks.experiments.store import Store, Training
from benchmarks.experiments.task import Done, Task

BASE, WORDS = ARMS["base"], ARMS["text_only"]


def row(*needs: tuple[str, str]) -> Row:
    return Row("X1", "?", (Claim("", needs, lambda _: Samples([np.ones(2)]), above()),))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, QUICK)


def train(store: Store, arm: Arm, seed: int = 0) -> None:
    store.write_training(arm, seed, Training(1.5, 10, (2.0, 1.0), "code"))


def test_findings_come_back_as_they_were(tmp_path: Path) -> None:
    found = {"r10": np.array([0.5, np.nan]), "top": np.arange(6).reshape(2, 3), "threshold": np.array(0.25)}
    write_findings(tmp_path / "deep" / "a.npz", found)
    read = read_findings(tmp_path / "deep" / "a.npz")
    assert read is not None
    assert {name: values.dtype for name, values in read.items()} == {k: v.dtype for k, v in found.items()}
    assert all(np.array_equal(read[name], found[name], equal_nan=name == "r10") for name in found)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"nonsense"])
def test_a_torn_file_counts_as_not_measured(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    assert read_findings(tmp_path / "a.npz") is None
    assert read_findings(tmp_path / "none.npz") is None


def test_a_training_is_noted_with_its_cost(store: Store) -> None:
    assert store.training(BASE, 0) is None
    train(store, BASE)
    assert store.training(BASE, 0) == Training(1.5, 10, (2.0, 1.0), "code")
    assert store.training(BASE, 1) is None


def test_everything_is_to_be_done_seed_by_seed_and_each_arm_once(store: Store) -> None:
    rows = [row(("base", "retrieval"), ("text_only", "retrieval")), row(("base", "weights"))]
    tasks, impossible = plan(rows, range(2), store)
    assert [(task.arm, task.seed) for task in tasks] == [
        ("base", 0), ("text_only", 0), ("base", 1), ("text_only", 1),
    ]  # fmt: skip
    assert tasks[0].measures == ("retrieval", "weights")
    assert impossible == {}


def test_what_is_there_is_not_to_be_done(store: Store) -> None:
    for arm in (BASE, WORDS):
        train(store, arm)
    store.write(BASE, 0, "retrieval", {"r10": np.ones(2)})
    tasks, _ = plan([row(("base", "retrieval"), ("text_only", "retrieval"))], [0], store)
    assert [task.arm for task in tasks] == ["text_only"]


def test_an_arm_that_is_no_recipe_yet_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {**ARMS, "wishful": Arm("wishful", "", changes={"fusion": {"kind": "telepathy"}})}
    for module in (arm_list, planning, evidence):
        monkeypatch.setattr(module, "ARMS", arms)
    tasks, impossible = plan([row(("base", "retrieval"), ("wishful", "retrieval"))], [0], store)
    assert [task.arm for task in tasks] == ["base"]
    assert "telepathy" in impossible["wishful"]
    with pytest.raises(Missing, match="telepathy"):
        Evidence(store, [0], {}).of("wishful", "retrieval")


def test_evidence_wants_every_seed(store: Store) -> None:
    store.write(BASE, 0, "retrieval", {"r10": np.ones(2)})
    assert len(Evidence(store, [0], {}).of("base", "retrieval")) == 1
    with pytest.raises(Missing, match=r"1 of 2 seeds \(not run yet\)"):
        Evidence(store, [0, 1], {}).of("base", "retrieval")
    failures = {("base", "training"): "the loss is nan"}
    with pytest.raises(Missing, match="the loss is nan"):
        Evidence(store, [0, 1], failures).of("base", "retrieval")


def test_the_time_left_follows_from_the_tasks_done() -> None:
    tasks = [Task("base", seed, ()) for seed in range(3)] + [Task("text_only", 0, ())]
    clock = Clock(tasks, processes=2)
    assert clock.left_s() == 0  # nothing is known yet
    clock.note(Done(tasks[0], wall_s=10.0, cpu_s=9.0, trained=True))
    assert clock.seconds(tasks[3]) == 10.0
    assert clock.left_s() == pytest.approx(15.0)
    clock.note(Done(tasks[3], wall_s=4.0, cpu_s=4.0, trained=True))
    assert clock.left_s() == pytest.approx(10.0)
    assert clock.done == 2
