"""Measures towers while they train, and keeps what was measured with the training's progress."""

from __future__ import annotations

from collections.abc import Callable

import torch

from towers.build import Towers
from towers.data.examples import Examples
from towers.training.curves import Point
from towers.training.state import TrainingState
from towers.training.validation import Pairs, Validation, measure

_METRICS = "metrics."
"""Before a metric's name in the state; float64[times, 2] of step and value."""

Keep = Callable[[Callable[[], TrainingState]], None]


class Measuring:
    """Stands between the training's loop and the progress: measures when it is time.

    Args:
        towers: those that train.
        examples: they train on.
        pairs: to be found again.
        validation: how often, and who hears of it.
        last: the training's last step.
        start: where an earlier run of the same training stood.
    """

    def __init__(
        self,
        towers: Towers,
        examples: Examples,
        pairs: Pairs,
        validation: Validation,
        last: int,
        start: TrainingState | None,
    ) -> None:
        self._towers, self._examples, self._pairs = towers, examples, pairs
        self._validation, self._last = validation, last
        self._step = 0 if start is None else start.steps
        self.points: dict[str, list[Point]] = {} if start is None else metrics_of(start)

    def around(self, keep: Keep) -> Keep:
        """Returns a ``keep`` for ``run_stages`` that measures first, when it is time."""

        def measured(capture: Callable[[], TrainingState]) -> None:
            self._step += 1
            every = self._validation.every
            if self._step == self._last or (every and self._step % every == 0):
                self._measure()
            keep(lambda: self._with_points(capture()))

        return measured

    def _measure(self) -> None:
        values = measure(self._towers, self._examples, self._pairs)
        for name, value in values.items():
            self.points.setdefault(name, []).append(Point(self._step, value))
        self._validation.say(self._step, values)

    def _with_points(self, state: TrainingState) -> TrainingState:
        measured = {
            f"{_METRICS}{name}": torch.tensor(
                [(point.step, point.value) for point in points], dtype=torch.float64
            )
            for name, points in self.points.items()
        }
        return TrainingState({**state.tensors, **measured})


def metrics_of(state: TrainingState) -> dict[str, list[Point]]:
    """Returns what was measured until ``state``."""
    return {
        name.removeprefix(_METRICS): [Point(int(step), value) for step, value in tensor.tolist()]
        for name, tensor in state.tensors.items()
        if name.startswith(_METRICS)
    }
