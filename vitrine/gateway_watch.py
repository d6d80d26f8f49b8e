"""Says what a running gateway says of itself, whenever that changes: ready or not, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from retrieval_gateway.client import HealthState

_TIMEOUT_S = 2.0

State = tuple[HealthState, tuple[str, ...]]
"""Whether it is ready, and what it answers without."""


def state_of(health: Callable[[], HealthState], metrics_url: str) -> State:
    """Asks a gateway how it is.

    Args:
        health: asks its health service.
        metrics_url: its Prometheus page.
    """
    state = health()
    return state, () if state is HealthState.AWAY else lacking(metrics_url)


def lacking(metrics_url: str) -> tuple[str, ...]:
    """Returns the reasons for which a gateway is degraded; none where its page cannot be read."""
    try:
        with urlopen(metrics_url, timeout=_TIMEOUT_S) as page:
            text = page.read().decode()
    except (URLError, OSError):
        return ()
    families = [
        family for family in text_string_to_metric_families(text) if family.name == "vitrine_degraded"
    ]
    samples = [sample for family in families for sample in family.samples if sample.value]
    return tuple(sorted(sample.labels["reason"] for sample in samples))


def told(state: State) -> str:
    """Returns a state in a line."""
    ready = {
        HealthState.SERVING: "gateway ready",
        HealthState.NOT_SERVING: "gateway not ready",
        HealthState.AWAY: "gateway away",
    }
    health, reasons = state
    return ready[health] + (f", degraded: without {', '.join(reasons)}" if reasons else "")
