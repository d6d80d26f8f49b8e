"""What every encoder gives: a sequence of vectors, which of them are there, and their mean.

Fusion networks attend over the sequence; the towers' vectors come from the mean.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Encoded(NamedTuple):
    """B texts, or the pictures of B products."""

    tokens: Tensor
    """float[B,L,width]: of a text its tokens; of pictures all places of all views, view by view."""
    mask: Tensor
    """float[B,L]: 1 where there is something, 0 at padding and at absent pictures."""
    pooled: Tensor
    """float[B,width]: one vector for the whole, without what is not there; zeros where nothing is."""


def masked_mean(hidden: Tensor, present: Tensor) -> Tensor:
    """Mean of float[B,L,D] over the places where float[B,L] is 1; zeros where there is none."""
    weights = present[..., None]
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
