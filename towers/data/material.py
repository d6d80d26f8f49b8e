"""All that the stages of a training draw from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.catalogue import Catalogue
from catalog.schema import CoClick
from towers.data.examples import Examples


@dataclass(frozen=True)
class Material:
    """A catalogue's log and pictures, ready to be drawn from."""

    catalogue: Catalogue
    examples: Examples
    coclicks: Sequence[CoClick] | None = None
    """The shop's own; None where it keeps none."""
