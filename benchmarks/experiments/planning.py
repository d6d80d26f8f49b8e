"""What has to be done for some rows, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.experiments.arm_list import ARMS, arms_named
from benchmarks.experiments.claims import Row
from benchmarks.experiments.measures.registry import AFTER_TRAINING
from benchmarks.experiments.store import Store
from benchmarks.experiments.task import Done, Task
from faults import InvalidInput

__all__ = ["Clock", "plan"]


def plan(rows: Iterable[Row], seeds: Sequence[int], store: Store) -> tuple[list[Task], dict[str, str]]:
    """Returns what is still to be done, seed by seed, and why some arms cannot be.

    Seed by seed, so that a run that is stopped early leaves every row with some seeds, and not some
    rows without any.
    """
    needs: dict[str, set[str]] = {}
    for row in rows:
        for claim in row.claims:
            for name, measure in claim.needs:
                needs.setdefault(name, set()).add(measure)
    tasks: list[Task] = []
    impossible: dict[str, str] = {name: "there is no such arm" for name in needs if name not in ARMS}
    for seed in seeds:
        for arm in arms_named(set(needs)):
            wanted = tuple(sorted(needs[arm.name]))
            try:
                missing = [one for one in wanted if not store.has(arm, seed, one)]
            except InvalidInput as error:
                impossible[arm.name] = str(error)
                continue
            trained = store.training(arm, seed) is not None
            if not trained or any(one != AFTER_TRAINING for one in missing):
                tasks.append(Task(arm.name, seed, wanted))
    return tasks, impossible


class Clock:
    """Estimates the time left from the tasks done so far.

    Args:
        tasks: all of them.
        processes: that share them.
    """

    def __init__(self, tasks: Sequence[Task], processes: int) -> None:
        self._left = list(tasks)
        self._processes = processes
        self._by_arm: dict[str, list[float]] = {}
        self.done = 0

    def note(self, done: Done) -> None:
        """Takes a finished task into account."""
        self._left.remove(done.task)
        self._by_arm.setdefault(done.task.arm, []).append(done.wall_s)
        self.done += 1

    def seconds(self, task: Task) -> float:
        """Expected seconds of a task: its arm's mean so far, or the mean of all."""
        known = self._by_arm.get(task.arm) or [one for times in self._by_arm.values() for one in times]
        return sum(known) / len(known) if known else 0.0

    def left_s(self) -> float:
        """Expected seconds until all is done."""
        return sum(map(self.seconds, self._left)) / self._processes
