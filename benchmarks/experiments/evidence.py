"""What rows read: the findings of arms over all seeds, or why they are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.experiments.arm_list import ARMS
from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.scale import Scale
from benchmarks.experiments.store import Store
from faults import InvalidInput

__all__ = ["Evidence", "Missing"]


class Missing(Exception):
    """Something a claim needs was not measured; the text says what and why."""


class Evidence:
    """Findings by arm and measure.

    Args:
        store: where they lie.
        seeds: all of which must be there.
        failures: why something is not there, by (arm, measure), as far as this run met it.
    """

    def __init__(self, store: Store, seeds: Sequence[int], failures: Mapping[tuple[str, str], str]) -> None:
        self._store, self._seeds, self._failures = store, seeds, failures
        self._read: dict[tuple[str, str], list[Findings]] = {}

    @property
    def scale(self) -> Scale:
        """The run's sizes."""
        return self._store.scale

    def of(self, arm: str, measure: str) -> list[Findings]:
        """Returns the findings of every seed, in order.

        Raises:
            Missing: the arm's recipe does not validate, or a seed was not measured.
        """
        if (arm, measure) not in self._read:
            self._read[arm, measure] = self._load(arm, measure)
        return self._read[arm, measure]

    def _load(self, arm: str, measure: str) -> list[Findings]:
        try:
            found = [self._store.findings(ARMS[arm], seed, measure) for seed in self._seeds]
            self._store.recipe(ARMS[arm], 0)
        except InvalidInput as error:
            raise Missing(str(error)) from error
        there = [one for one in found if one is not None]
        if len(there) < len(found):
            why = self._failures.get((arm, measure)) or self._failures.get((arm, "training")) or "not run yet"
            raise Missing(f"{measure} of arm {arm}: {len(there)} of {len(found)} seeds ({why})")
        return there
