"""What a search tells of itself beside its reply: how its channels fared, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from retrieval_gateway.channels.types import ChannelName
from retrieval_gateway.degraded import Reason
from retrieval_gateway.metrics import Metrics

__all__ = ["Saw", "SearchReports", "unwatched"]

_REASONS: dict[ChannelName, Reason] = {"dense": "dense_channel", "lexical": "lexical_channel"}


class Saw(Protocol):
    """Told how one search fared with something that it needs (``degraded.Degraded.saw``)."""

    def __call__(self, reason: Reason, *, failed: bool) -> None:
        """Takes note of it."""


def unwatched(reason: Reason, *, failed: bool) -> None:
    """Takes no note."""


class SearchReports:
    """Passes on what searches tell.

    Args:
        metrics: counts failures and removals.
        saw: told what failed and what works again.
    """

    def __init__(self, metrics: Metrics, saw: Saw = unwatched) -> None:
        self._metrics = metrics
        self._saw = saw

    def answered(self, channel: ChannelName, *, on_cpu: bool = False) -> None:
        """A channel answered; ``on_cpu``: its GPU did not."""
        self._saw(_REASONS[channel], failed=False)
        if channel == "dense":
            self._saw("gpu_index", failed=on_cpu)

    def failed(self, channel: ChannelName) -> None:
        """A channel did not answer."""
        self._metrics.channel_failures.labels(channel).inc()
        self._saw(_REASONS[channel], failed=True)

    def removed(self, counts: Mapping[str, int]) -> None:
        """Relevance control left products out, by reason."""
        for reason, products in counts.items():
            self._metrics.relevance_removals.labels(reason).inc(products)
