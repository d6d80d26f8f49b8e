"""What one sees of a training: a bar for every stage, or plain lines where nobody watches a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from faults import InternalError

if TYPE_CHECKING:
    from towers.training.loop import Step

_LINES, _SILENCE_S = 10, 60.0
"""Plain lines of a stage at least, and the longest time without one where steps are done."""


@contextlib.contextmanager
def training_display(
    stage_steps: Sequence[int], console: Console, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Step], None]]:
    """Yields what is to be called after every step.

    Args:
        stage_steps: steps of each stage, in their order.
        console: what is printed to; other lines may be printed to it meanwhile.
        clock: seconds that only rise.
    """
    if not console.is_terminal:
        yield _Lines(stage_steps, console, clock).on_step
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(stage_steps, bars).on_step


def losses_of(loss: float, terms: Mapping[str, float]) -> str:
    """Returns the loss, and its terms where there are several."""
    parts = ", ".join(f"{name} {value:.3f}" for name, value in terms.items())
    return f"loss {loss:.3f}" + (f" ({parts})" if len(terms) > 1 else "")


class _Places:
    """Tells from a step's number which stage it belongs to, and which of its steps it is."""

    def __init__(self, stage_steps: Sequence[int]) -> None:
        self._steps = stage_steps

    def of(self, number: int) -> tuple[int, int, int]:
        """Place of the stage, its step (both from 1), and its steps."""
        for place, steps in enumerate(self._steps, start=1):
            if number <= steps:
                return place, number, steps
            number -= steps
        raise InternalError(f"step {number} follows the last stage")

    def title(self, place: int, name: str) -> str:
        return f"{place}/{len(self._steps)} {name}"


class _Bars:
    """A bar appears when its stage begins, and stays."""

    def __init__(self, stage_steps: Sequence[int], bars: Progress) -> None:
        self._places, self._bars = _Places(stage_steps), bars
        self._tasks: dict[int, TaskID] = {}

    def on_step(self, step: Step) -> None:
        place, done, steps = self._places.of(step.number)
        title = escape(self._places.title(place, step.stage))
        losses = escape(losses_of(step.loss, step.terms))
        if place not in self._tasks:
            # A training that goes on begins in the middle; its rate is that of the steps from here.
            self._tasks[place] = self._bars.add_task(title, total=steps, completed=done - 1, losses=losses)
        self._bars.update(self._tasks[place], completed=done, losses=losses)


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f}/s")


class _Lines:
    """A line for a stage's first step, each tenth of it and its last, and once a minute."""

    def __init__(self, stage_steps: Sequence[int], console: Console, clock: Callable[[], float]) -> None:
        self._places, self._console, self._clock = _Places(stage_steps), console, clock
        self._stage, self._began, self._before, self._said = 0, clock(), 0, clock()

    def on_step(self, step: Step) -> None:
        place, done, steps = self._places.of(step.number)
        now = self._clock()
        begins = place != self._stage
        if begins:
            self._stage, self._began, self._before = place, now, done
        tenth = done * _LINES // steps > (done - 1) * _LINES // steps
        if not (begins or tenth or done == steps or now - self._said >= _SILENCE_S):
            return
        self._said = now
        text = f"{self._places.title(place, step.stage)}: step {done} of {steps}, "
        text += losses_of(step.loss, step.terms)
        rate = (done - self._before) / (now - self._began) if now > self._began else 0.0
        if rate:
            text += f", {rate:.2f} steps/s, {_duration((steps - done) / rate)} left in this stage"
        self._console.print(escape(text), soft_wrap=True, highlight=False)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
