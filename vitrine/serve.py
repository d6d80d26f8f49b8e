"""``vitrine serve``: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import time

from releases.store import ReleaseStore
from runtime.supervisor import Event, Supervisor
from vitrine.local import LocalSettings, local_stack, wait_until_ready
from vitrine.terminal import console

_READY_TIMEOUT_S = 60.0


def serve() -> None:
    """Starts cache, Triton and gateway on the active release; restarts what dies; Ctrl-C stops all."""
    settings = LocalSettings()
    supervisor = Supervisor(local_stack(settings).services, print_event)
    try:
        supervisor.start()
        if ReleaseStore(settings.release_store).active_id() is None:
            console.print("[yellow]no release is active yet:[/] `vitrine index --activate` makes one")
        else:
            wait_until_ready(settings.address, _READY_TIMEOUT_S)
        console.print(
            f"gateway on {settings.address}, Triton on {settings.triton_url}, "
            f"metrics on http://{settings.host}:{settings.metrics_port}/metrics. Ctrl-C stops all."
        )
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        stop_all(supervisor)


def stop_all(*supervisors: Supervisor) -> None:
    """Stops supervisors in this order. A second Ctrl-C does not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for supervisor in supervisors:
        supervisor.stop(within_s=9.0 / len(supervisors))


def print_event(event: Event) -> None:
    """Prints what happened to a service; the end of its log where it died."""
    attempt = f" (attempt {event.attempt})" if event.attempt else ""
    console.print(f"{event.service} {event.kind.replace('_', ' ')}{attempt}", highlight=False)
    if event.kind in ("died", "start_failed") and event.detail:
        console.print(event.detail.rstrip(), style="dim", markup=False)
