"""How far two sets of vectors that should be equal drift apart, tails first.

A mean cosine of .999 hides the one adversarial title whose vector is garbage. So the
1st percentile, the minimum and the worst rows are reported beside the mean, and a vector
that is not finite is counted as the worst there is instead of turning the mean into NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["CosineTails", "cosine_tails"]

_WORST_SHOWN = 10
_WORST_COSINE = -1.0


@dataclass(frozen=True, slots=True)
class CosineTails:
    """Cosines of vectors row by row.

    Attributes:
        mean: mean cosine.
        p1: 1st percentile.
        minimum: the smallest.
        worst_rows: the rows with the smallest cosines, worst first, at most ten.
        not_finite_rows: rows in which either side holds NaN or infinity; each counts as cosine -1.
    """

    mean: float
    p1: float
    minimum: float
    worst_rows: tuple[int, ...]
    not_finite_rows: tuple[int, ...]


def cosine_tails(a: NDArray[np.floating], b: NDArray[np.floating]) -> CosineTails:
    """Compares two matrices [N, dim] row by row.

    A zero vector has no direction: its cosine counts 1 if both sides are zero, else 0.

    Raises:
        faults.InvalidInput: the shapes differ, or there is no row.
    """
    if a.shape != b.shape or a.ndim != 2 or len(a) == 0:
        raise faults.InvalidInput(
            "two matrices of the same shape with at least one row are needed",
            field="vectors",
            value=(a.shape, b.shape),
            fix="embed the same inputs on both sides.",
        )
    finite = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    cosines = np.full(len(a), _WORST_COSINE)
    cosines[finite] = _cosines(a[finite].astype(np.float64), b[finite].astype(np.float64))
    order = np.argsort(cosines, kind="stable")
    return CosineTails(
        mean=float(cosines.mean()),
        p1=float(np.percentile(cosines, 1)),
        minimum=float(cosines.min()),
        worst_rows=tuple(int(row) for row in order[:_WORST_SHOWN]),
        not_finite_rows=tuple(int(row) for row in np.flatnonzero(~finite)),
    )


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the cosine of each pair of finite rows."""
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = length_a * length_b
    defined = product > 0
    cosines = np.where((length_a == 0) & (length_b == 0), 1.0, 0.0)
    cosines[defined] = np.einsum("nd,nd->n", a[defined], b[defined]) / product[defined]
    clipped: NDArray[np.float64] = np.clip(cosines, -1.0, 1.0)
    return clipped
