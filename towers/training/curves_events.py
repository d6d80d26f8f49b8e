"""The curves of a training as TensorBoard's event file.

tensorboardX's record writer and protocol classes are used without its ``SummaryWriter``: all values
are there at once, so no queue and no thread is needed, and the file's name need not carry this
machine's.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from towers.training.curves import Point, StageCurve

FILE = "events.out.tfevents.vitrine"
"""TensorBoard reads files whose names hold ``tfevents``."""


def write_events(
    stages: Sequence[StageCurve],
    metrics: Mapping[str, Sequence[Point]],
    folder: Path,
    clock: Callable[[], float] = time.time,
) -> None:
    """Writes one event file into ``folder``, for ``tensorboard --logdir`` on it or above it.

    Tags are ``loss/total``, ``<stage>/<term>`` and ``metrics/<name>``; a step counts over all stages. No
    step's own time is known any more, so all bear the time of writing: look at them by step.

    Raises:
        OSError: the disk refused.
    """
    now = clock()
    writer = RecordWriter(str(folder / FILE))
    try:
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for step, values in sorted(_by_step(stages, metrics).items()):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])
            writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    finally:
        writer.close()


def _by_step(
    stages: Sequence[StageCurve], metrics: Mapping[str, Sequence[Point]]
) -> Mapping[int, Sequence[tuple[str, float]]]:
    found: dict[int, list[tuple[str, float]]] = defaultdict(list)

    def add(tag: str, points: Iterable[Point]) -> None:
        for point in points:
            found[point.step].append((tag, point.value))

    for stage in stages:
        add("loss/total", stage.total)
        for term, points in stage.terms.items():
            add(f"{stage.name}/{term}", points)
    for name, points in metrics.items():
        add(f"metrics/{name}", points)
    return found
