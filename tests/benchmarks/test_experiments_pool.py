"""Tasks in processes: one that dies costs its own task, and none is left behind."""

import multiprocessing
from pathlib import Path

import pytest

from benchmarks.experiments.pool import Pool
from benchmarks.experiments.scale import QUICK
from benchmarks.experiments.task import Done, Task

pytestmark = pytest.mark.timeout(600)


def test_a_process_that_dies_costs_its_task_alone(tmp_path: Path) -> None:
    done: list[Done] = []
    tasks = [Task("no such arm", seed, ()) for seed in range(2)]  # a bug of ours, which nothing catches
    left = Pool(1, tmp_path, QUICK).run(tasks, done.append)
    assert left == []
    assert [one.task for one in done] == tasks
    assert all("its process died" in one.failures["training"] for one in done)
    assert multiprocessing.active_children() == []


def test_what_may_not_start_is_left(tmp_path: Path) -> None:
    done: list[Done] = []
    tasks = [Task("base", seed, ()) for seed in range(2)]
    assert Pool(1, tmp_path, QUICK).run(tasks, done.append, lambda task: False) == tasks  # noqa: ARG005
    assert done == []
    assert multiprocessing.active_children() == []
