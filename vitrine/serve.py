"""``vitrine serve``: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import NoReturn

from releases.store import ReleaseStore
from retrieval_gateway.client import RetrievalClient
from runtime.supervisor import Event, Supervisor
from vitrine.gateway_watch import State, state_of, told
from vitrine.local import LocalSettings, local_stack, wait_until_ready
from vitrine.terminal import console

_READY_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 2.0
_LOOK_TIMEOUT_S = 2.0


def serve() -> None:
    """Starts cache, Triton and gateway on the active release; restarts what dies; Ctrl-C stops all.

    It goes on saying how the gateway is: ready or not, and what it answers without.
    """
    settings = LocalSettings()
    supervisor = Supervisor(local_stack(settings).services, print_event)
    try:
        supervisor.start()
        if ReleaseStore(settings.release_store).active_id() is None:
            console.print("[yellow]no release is active yet:[/] `vitrine index --activate` makes one")
        else:
            wait_until_ready(settings.address, _READY_TIMEOUT_S)
        metrics_url = f"http://{settings.host}:{settings.metrics_port}/metrics"
        console.print(
            f"gateway on {settings.address}, Triton on {settings.triton_url}, "
            f"metrics on {metrics_url}. Ctrl-C stops all."
        )
        with RetrievalClient(settings.address, timeout_s=_LOOK_TIMEOUT_S) as client:
            tell_changes(lambda: state_of(client.health, metrics_url))
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        stop_all(supervisor)


def tell_changes(look: Callable[[], State]) -> NoReturn:
    """Prints how the gateway is whenever that has changed, until interrupted."""
    last = look()
    while True:
        time.sleep(_LOOK_EVERY_S)
        now = look()
        if now != last:
            console.print(told(now), highlight=False)
        last = now


def stop_all(*supervisors: Supervisor) -> None:
    """Stops supervisors in this order. A second Ctrl-C does not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for supervisor in supervisors:
        supervisor.stop(within_s=9.0 / len(supervisors))


def print_event(event: Event) -> None:
    """Prints what happened to a service; the end of its log where it died."""
    attempt = f" (attempt {event.attempt})" if event.attempt else ""
    then = f", trying again in {event.next_s:.1f} s" if event.next_s is not None else ""
    console.print(f"{event.service} {event.kind.replace('_', ' ')}{attempt}{then}", highlight=False)
    if event.kind in ("died", "start_failed") and event.detail:
        console.print(event.detail.rstrip(), style="dim", markup=False)
