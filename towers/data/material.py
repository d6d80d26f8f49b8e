"""All that the stages of a training draw from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.catalogue import Catalogue
from catalog.photographs import DecodedPhotographs
from catalog.schema import CoClick
from towers.build import Towers
from towers.data.examples import Examples


@dataclass(frozen=True)
class Material:
    """A catalogue's log and pictures, ready to be drawn from."""

    catalogue: Catalogue
    examples: Examples
    coclicks: Sequence[CoClick] | None = None
    """The shop's own; None where it keeps none."""
    photographs: DecodedPhotographs | None = None
    """Further photographs, of the catalogue's products or of others."""
    teacher: Towers | None = None
    """Trained towers to learn from, in evaluation mode."""
