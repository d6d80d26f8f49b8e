"""Ctrl-C while towers train: the step under way is finished and kept, and one hears how to go on."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

if TYPE_CHECKING:
    from towers.training.resume import ProgressFolder

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While it is open and armed, the first signal waits for the step's end; a second does not.

    Args:
        kept: the training's progress.
        console: hears how to go on.
    """

    def __init__(self, kept: ProgressFolder, console: Console) -> None:
        self._kept, self._console = kept, console
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._armed = self._asked = False

    def arm(self) -> None:
        """To be called after a step. Before the first one there is nothing to wait for."""
        if not self._armed:
            self._armed = True
            for number in _SIGNALS:
                signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._disarm()
        self._asked = True
        self._kept.stop()
        if not self._console.quiet:  # not through it: the signal may have come while it writes
            os.write(2, b"\nstopping after this step, to keep it (again: at once)\n")

    def _disarm(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disarm()
        # Of several processes the first keeps the step and leaves; the others then miss it.
        left_alone = self._asked and isinstance(error, RuntimeError)
        if left_alone or isinstance(error, KeyboardInterrupt):
            self._console.print(self._farewell(), soft_wrap=True)
        if left_alone:
            raise KeyboardInterrupt from error

    def _farewell(self) -> str:
        if self._kept.kept is None:
            return "interrupted before any progress was kept: the same command begins anew"
        return f"interrupted; kept is step {self._kept.kept}: the same command goes on from there"
