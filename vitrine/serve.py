"""``vitrine serve``: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import threading

from releases.store import ReleaseStore
from runtime.supervisor import Event, Supervisor
from vitrine.local import LocalSettings, local_stack, wait_until_ready
from vitrine.terminal import console

_READY_TIMEOUT_S = 60.0


def serve() -> None:
    """Starts cache, Triton and gateway on the active release; restarts what dies; Ctrl-C stops all."""
    settings = LocalSettings()
    stack = local_stack(settings)
    supervisor = Supervisor(stack.services, print_event)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        supervisor.start()
        if ReleaseStore(settings.release_store).active_id() is None:
            console.print("[yellow]no release is active yet:[/] `vitrine index --activate` makes one")
        elif not stop.is_set():
            wait_until_ready(settings.address, _READY_TIMEOUT_S)
        console.print(
            f"gateway on {settings.address}, Triton on {settings.triton_url}, "
            f"metrics on http://{settings.host}:{settings.metrics_port}/metrics. Ctrl-C stops all."
        )
        while not stop.wait(1.0):
            pass
    finally:
        supervisor.stop()


def print_event(event: Event) -> None:
    """Prints what happened to a service; the end of its log where it died."""
    attempt = f" (attempt {event.attempt})" if event.attempt else ""
    console.print(f"{event.service} {event.kind.replace('_', ' ')}{attempt}", highlight=False)
    if event.kind in ("died", "start_failed") and event.detail:
        console.print(event.detail.rstrip(), style="dim", markup=False)
