"""Lists of several channels: their union, their fusion, and what only one of them found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["exclusive", "fused", "hits"]

Lists = npt.NDArray[np.integer[Any]]
_RRF = 60


def hits(fits: npt.NDArray[np.bool_], lists: Sequence[Lists]) -> npt.NDArray[np.float64]:
    """Share of each query's fitting products that stand in any of the lists.

    Args:
        fits: bool[Q,N].
        lists: each int[Q,K], rows of products; -1 where a list is shorter.

    Returns:
        float64[Q]; 0 where nothing fits.
    """
    found = np.zeros_like(fits)
    for one in lists:
        found |= _listed(one, fits.shape[1])
    shares: npt.NDArray[np.float64] = (found & fits).sum(axis=1) / np.maximum(1, fits.sum(axis=1))
    return shares


def fused(lists: Sequence[Lists]) -> npt.NDArray[np.int64]:
    """Reciprocal rank fusion (Cormack et al., 2009, k = 60) of int[Q,K] lists to int64[Q,sum of K].

    What stands in no list has a score of 0, and rows of it fill the end as -1.
    """
    products = 1 + max(int(one.max(initial=-1)) for one in lists)
    scores = np.zeros((len(lists[0]), products))
    for one in lists:
        for place in range(one.shape[1]):
            asked = np.flatnonzero(one[:, place] >= 0)
            scores[asked, one[asked, place]] += 1 / (_RRF + 1 + place)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.where(np.take_along_axis(scores, order, axis=1) > 0, order, -1)


def exclusive(fits: npt.NDArray[np.bool_], one: Lists, others: Sequence[Lists]) -> npt.NDArray[np.float64]:
    """How many fitting products stand in one list and in none of the others, float64[Q]."""
    found = _listed(one, fits.shape[1]) & fits
    for other in others:
        found &= ~_listed(other, fits.shape[1])
    counts: npt.NDArray[np.float64] = found.sum(axis=1).astype(np.float64)
    return counts


def _listed(one: Lists, products: int) -> npt.NDArray[np.bool_]:
    """bool[Q,N]: which products a list names."""
    listed = np.zeros((len(one), products + 1), dtype=np.bool_)
    np.put_along_axis(listed, one.astype(np.int64), True, axis=1)  # -1 goes into the column that is cut off
    return listed[:, :products]
