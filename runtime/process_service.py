"""What every supervised service that is one process has in common: to be asked and to be stopped."""

from __future__ import annotations

from collections.abc import Callable

from runtime.process import ManagedProcess


class ProcessService:
    """One managed process as a :class:`runtime.supervisor.Service`; a subclass says how it starts."""

    name = "process"

    def __init__(self) -> None:
        self._process: ManagedProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def alive(self) -> bool:
        """Returns whether the process runs."""
        return self._process is not None and self._process.running()

    def stop(self, grace_s: float) -> None:
        """Ends the process, within about ``grace_s`` seconds; harmless if repeated."""
        if self._process is not None:
            self._process.stop(grace_s)

    def last_words(self) -> str:
        """Returns the end of the process's log."""
        return self._process.log_tail() if self._process is not None else ""

    def _launch(self, process: ManagedProcess, wait_ready: Callable[[], None]) -> None:
        """Starts the process and waits; whatever goes wrong, nothing of it stays behind."""
        self._process = process
        try:
            process.start()
            wait_ready()
        except BaseException:
            process.stop(0.0)
            raise
