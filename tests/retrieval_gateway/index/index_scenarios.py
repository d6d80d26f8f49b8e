"""One list of searches that every index must answer like the reference; see test_index_congruence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = Callable[[NDArray[np.float32]], NDArray[np.bool_]]


def every(step: int) -> Mask:
    return lambda vectors: np.arange(len(vectors)) % step == 0


def first(rows: int) -> Mask:
    return lambda vectors: np.arange(len(vectors)) < rows


def nearest(share: float) -> Mask:
    """One corner of the space: far from most queries, and cutting through clusters."""

    def mask(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
        scores = vectors @ vectors[0]
        return np.asarray(scores >= np.quantile(scores, 1 - share))

    return mask


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
    Scenario("deeper", batch=4, k=500),
    Scenario("very deep", batch=2, k=6000),
    Scenario("more than there are", batch=1, k=12_100),
    Scenario("half allowed", batch=8, k=100, allowed=every(2)),
    Scenario("half allowed, deep", batch=2, k=3000, allowed=every(2)),
    Scenario("a tenth allowed", batch=8, k=100, allowed=every(10)),
    Scenario("a twenty-fifth allowed", batch=8, k=100, allowed=every(25)),
    Scenario("a hundredth allowed", batch=8, k=50, allowed=every(100)),
    Scenario("a far half allowed", batch=8, k=20, allowed=nearest(0.5)),
    Scenario("a far quarter allowed", batch=8, k=100, allowed=nearest(0.25)),
    Scenario("a far quarter allowed, deep", batch=2, k=2000, allowed=nearest(0.25)),
    Scenario("a far twentieth allowed", batch=8, k=10, allowed=nearest(0.05)),
    Scenario("fewer allowed than asked for", batch=3, k=100, allowed=first(7)),
    Scenario("nothing allowed", batch=2, k=10, allowed=first(0)),
    Scenario("no query", batch=0, k=10),
)
