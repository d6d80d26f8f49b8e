"""One list of searches that every index must answer like the reference; see test_index_congruence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = Callable[[int], NDArray[np.bool_]]


def every(step: int) -> Mask:
    return lambda count: np.arange(count) % step == 0


def first(rows: int) -> Mask:
    return lambda count: np.arange(count) < rows


@dataclass(frozen=True)
class Scenario:
    name: str
    batch: int
    k: int
    allowed: Mask | None = None


SCENARIOS = (
    Scenario("one query", batch=1, k=100),
    Scenario("a batch", batch=32, k=100),
    Scenario("one neighbour", batch=3, k=1),
    Scenario("half allowed", batch=8, k=100, allowed=every(2)),
    Scenario("a tenth allowed", batch=8, k=100, allowed=every(10)),
    Scenario("a twenty-fifth allowed", batch=8, k=100, allowed=every(25)),
    Scenario("a hundredth allowed", batch=8, k=50, allowed=every(100)),
    Scenario("fewer allowed than asked for", batch=3, k=100, allowed=first(7)),
    Scenario("nothing allowed", batch=2, k=10, allowed=first(0)),
    Scenario("no query", batch=0, k=10),
)
