"""Tasks in a few processes of one thread each; ended cleanly by Ctrl-C, and by the death of their parent.

Each process keeps torch loaded and takes one task after the other. What a killed one had trained so far
lies in its progress folder, and the next run goes on from there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from benchmarks.experiments.scale import Scale
from benchmarks.experiments.task import Done, Task

__all__ = ["Pool"]

_ENDING_S = 5.0
_LOOK_EVERY_S = 1.0
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Worker:
    process: SpawnProcess
    line: Connection
    task: Task | None = None


class Pool:
    """Runs tasks in ``processes`` processes.

    Args:
        processes: how many.
        folder: of the store.
        scale: of the store.
    """

    def __init__(self, processes: int, folder: Path, scale: Scale) -> None:
        self._processes, self._folder, self._scale = processes, folder, scale

    def run(
        self,
        tasks: Sequence[Task],
        on_done: Callable[[Done], None],
        may_start: Callable[[Task], bool] = lambda _: True,
    ) -> list[Task]:
        """Runs the tasks, in order as far as processes allow.

        Args:
            tasks: what to do.
            on_done: called after each.
            may_start: asked before a task is handed out; one that may not is left.

        Returns:
            The tasks that were left.
        """
        waiting, left = deque(tasks), []
        with self._workers(min(self._processes, len(tasks))) as workers:
            idle = list(workers)
            while waiting or any(worker.task for worker in workers):
                while waiting and idle:
                    task = waiting.popleft()
                    if may_start(task):
                        worker = idle.pop()
                        worker.task = task
                        worker.line.send(task)
                    else:
                        left.append(task)
                busy = [worker for worker in workers if worker.task]
                ready = wait([worker.line for worker in busy], timeout=_LOOK_EVERY_S) if busy else []
                for worker in busy:
                    if worker.line in ready:
                        on_done(self._result(worker))
                        idle.append(worker)
        return left

    def _result(self, worker: _Worker) -> Done:
        assert worker.task is not None
        task, worker.task = worker.task, None
        try:
            result = worker.line.recv()
            assert isinstance(result, Done)
            return result
        except EOFError:
            worker.process.join()
            why = f"its process died ({worker.process.exitcode})"
            self._start(worker)
            return Done(task, 0.0, 0.0, trained=False, failures={"training": why})

    @contextmanager
    def _workers(self, count: int) -> Iterator[list[_Worker]]:
        before = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # before a child loads torch
        workers: list[_Worker] = []
        try:
            workers.extend(self._started() for _ in range(count))
            yield workers
        finally:
            for worker in workers:
                worker.line.close()  # an idle one ends by itself
                if worker.task is not None:
                    worker.process.terminate()
            for worker in workers:
                worker.process.join(_ENDING_S)
                if worker.process.is_alive():
                    worker.process.kill()
                    worker.process.join()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _started(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, self._folder, self._scale, os.getpid()), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _start(self, worker: _Worker) -> None:
        fresh = self._started()
        worker.process, worker.line = fresh.process, fresh.line


def _work(line: Connection, folder: Path, scale: Scale, parent: int) -> None:
    """A process's life: tasks until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends us
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    import torch

    from benchmarks.experiments.store import Store
    from benchmarks.experiments.task import perform

    torch.set_num_threads(1)
    store = Store(folder, scale)
    while True:
        try:
            task = line.recv()
        except EOFError:
            return
        line.send(perform(task, store))


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, which a killed one cannot do itself."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
