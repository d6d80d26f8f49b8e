"""Arithmetic on query vectors: what becomes of words and a picture, and of words that are not wanted.

All vectors are unit vectors of one joint space, so that a sum of them points between them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from faults import InvalidInput

__all__ = ["mix", "take_away", "unit"]

Vector = npt.NDArray[np.float32]
_NOTHING = 1e-4
"""Of a unit vector's length: what is left of two that cancel is rounding, and points anywhere."""


def mix(words: Vector, picture: Vector, picture_weight: float) -> Vector:
    """Returns the unit vector of ``(1 - w) words + w picture``; all float32[dim].

    The composed query of same-style search ("this, but white"): whether eSSPR (arXiv 2302.05093) encodes
    both jointly or adds is not said there, so both are built [DESIGN].

    Raises:
        InvalidInput: words and picture cancel each other.
    """
    mixed = (1 - picture_weight) * words.astype(np.float64) + picture_weight * picture.astype(np.float64)
    return _remainder(mixed, "query.picture_weight", picture_weight)


def take_away(query: Vector, unwanted: Vector, weight: float) -> Vector:
    """Returns the unit vector of ``query - w unwanted``; all float32[dim].

    The negative term of Rocchio's relevance feedback (Rocchio, in Salton (ed.), The SMART Retrieval System,
    1971), with the embedding of the unwanted words where Rocchio has documents that were judged wrong.

    Raises:
        InvalidInput: the unwanted words say what the query says, so that nothing is left of it.
    """
    return _remainder(
        query.astype(np.float64) - weight * unwanted.astype(np.float64), "query.without_weight", weight
    )


def unit(vector: npt.NDArray[np.floating]) -> Vector:
    """Returns float32[dim] of length 1; the vector must not be all zero."""
    wide = vector.astype(np.float64)  # the square of a large float32 is none any more
    normalised: Vector = (wide / np.linalg.norm(wide)).astype(np.float32)
    return normalised


def _remainder(vector: npt.NDArray[np.float64], field: str, weight: float) -> Vector:
    if np.linalg.norm(vector) < _NOTHING:
        raise InvalidInput(
            "nothing is left of the query: its parts cancel each other",
            field=field,
            value=weight,
            fix="Give another weight, or other words.",
        )
    return unit(vector)
