"""What goes into the towers and what comes out, one text or product at a time. A leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Pixels", "ProbeInput", "ProductEmbedding", "ProductRow", "Tokens", "Vector"]

Vector = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tokens:
    """A tokenised text.

    Attributes:
        ids: as the tower takes them.
        truncated: the text was longer than the tower reads.
        keywords: words of the release's table that the tower reads beside it.
    """

    ids: list[int]
    truncated: bool
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProductRow:
    """One product, or a picture alone, for the product tower."""

    ids: list[int]
    """Token ids of the indexed text; those of the empty text where there is none."""
    has_text: bool
    pixels: Pixels
    """uint8[V,H,W,3]; zeros where there is no picture."""
    has_image: npt.NDArray[np.bool_]
    """bool[V]."""


class ProbeInput(Protocol):
    """The input half of a ``releases.manifest.Probe``."""

    @property
    def tower(self) -> str:
        """``query_tower`` or ``product_tower``."""

    @property
    def input_ids(self) -> tuple[int, ...]:
        """Token ids."""

    @property
    def picture(self) -> str:
        """``none`` or ``ramp``."""


@dataclass(frozen=True)
class ProductEmbedding:
    """What the product tower says of one row."""

    vector: Vector
    weights: npt.NDArray[np.float32]
    """float32[2]: text, image."""
