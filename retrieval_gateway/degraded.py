"""What a gateway answers without at the moment: less than it could, but it answers.

Three questions that are easily mixed up: *live*: the process's loop runs (health service ``liveness``);
*ready*: a search would be answered (health of ``RetrievalService``); *degraded*: something is missing
and answers are less for it. Restart by the first, route by the second, wake somebody by the third.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, get_args

import structlog
from prometheus_client import Gauge

log = structlog.get_logger(__name__)

Reason = Literal["triton", "cache", "dense_channel", "lexical_channel", "gpu_index"]
"""What is missing.

- ``triton``: the last real inference failed: searches by words are answered by full text alone,
  besides cached answers and searches by product or vector.
- ``cache``: the shared tier does not answer: more is computed, and gateways share nothing.
- ``dense_channel``, ``lexical_channel``: it failed in a search a moment ago; the other one answers.
- ``gpu_index``: a search ran on the CPU instead a moment ago.
"""


_CALM_S = 10.0


class Degraded:
    """Owner of the list; each reason is told by the one who sees it. Used from one event loop.

    Args:
        gauge: 1 for each reason that holds, by label ``reason``.
        clock: seconds, monotonic.
    """

    def __init__(self, gauge: Gauge, clock: Callable[[], float] = time.monotonic) -> None:
        self._gauges = {reason: gauge.labels(reason) for reason in get_args(Reason)}
        self._clock = clock
        self._missing: set[Reason] = set()
        self._last_failure: dict[Reason, float] = {}

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What is missing now, in alphabetical order."""
        return tuple(sorted(self._missing))

    def lacks(self, reason: Reason, missing: bool) -> None:
        """Says whether something is missing; a change is logged, once."""
        if missing == (reason in self._missing):
            return
        self._gauges[reason].set(missing)
        if missing:
            self._missing.add(reason)
            log.warning("degraded", without=reason, now=self.reasons)
        else:
            self._missing.remove(reason)
            log.info("no longer degraded", by=reason, now=self.reasons)

    def saw(self, reason: Reason, *, failed: bool) -> None:
        """Tells how one search fared. Only a calm while ends a reason: else every other search would."""
        if failed:
            self._last_failure[reason] = self._clock()
            self.lacks(reason, True)
        elif reason in self._missing and self._clock() - self._last_failure.get(reason, 0.0) >= _CALM_S:
            self.lacks(reason, False)
