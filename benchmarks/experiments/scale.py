"""How large the experiments are: the full set, a quick one for the tests, and a real catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["FULL", "QUICK", "REAL", "Scale"]


@dataclass(frozen=True)
class Scale:
    """Sizes of one run of the experiments.

    Attributes:
        name: part of every cache key.
        train_products: products of the shop that is trained on.
        test_products: products of the other shop, on which everything is measured.
        steps: most steps of a stage; the recipe's own where it has fewer.
        batch: most products of a step.
        distractors: further products that row B4 puts into the corpus, in rising order.
        resamples: of the bootstrap.
        changes: laid over every recipe, before an arm's own changes.
        catalogue: folder of a real catalogue, which takes the place of both shops; empty for sample shops.
    """

    name: str
    train_products: int
    test_products: int
    steps: int
    batch: int
    distractors: tuple[int, ...]
    resamples: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    catalogue: str = ""


FULL = Scale(
    "full",
    train_products=1000,
    test_products=2000,
    steps=10_000,
    batch=1024,
    distractors=(2_000, 9_000),
    resamples=2000,
)
QUICK = Scale(
    "quick",
    train_products=120,
    test_products=100,
    steps=3,
    batch=16,
    distractors=(50, 100),
    resamples=100,
    changes={
        "dim": 16,
        "text": {"layers": 1, "width": 32, "vocabulary": 600},
        "image": {"size": 24, "channels": [8, 8]},
    },
)
REAL = replace(FULL, name="real", train_products=0, test_products=0)
"""To be completed with a catalogue's folder."""
