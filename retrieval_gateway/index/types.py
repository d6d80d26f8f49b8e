"""What every index speaks. A leaf: it imports nothing of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import faults

__all__ = ["Neighbours", "VectorIndex", "check_search"]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The neighbours of B queries, best first.

    Attributes:
        rows: int64 [B, k]; -1 where fewer than k were found.
        scores: float32 [B, k], true inner products with the stored vectors; -inf beside a row of -1.
            Equal scores stand in rising order of rows, so that an answer can be repeated.
        on_cpu: an index on a GPU could not answer this, and the one on the CPU did.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    on_cpu: bool = False


class VectorIndex(Protocol):
    """Finds the stored vectors of largest inner product. Safe for searches from several threads."""

    @property
    def kind(self) -> str:
        """Short name of the method (``exact``, ``flat``, ``ivf_sq8``)."""
        ...

    @property
    def count(self) -> int:
        """Number of vectors."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> Neighbours:
        """Finds the k best neighbours of each query, or all there are where fewer are allowed.

        Args:
            queries: float32 [B, dim].
            k: how many, at least 1.
            allowed: bool [count]; only rows that are true may be found. None allows all.
        """
        ...

    def close(self) -> None:
        """Lets go of what is not memory: threads, a GPU. No search may be running or follow."""
        ...


def check_search(
    queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, *, count: int, dim: int
) -> None:
    """Refuses arguments that no index can answer.

    Raises:
        faults.InvalidInput: k below 1.
        faults.InternalError: shapes that our own caller got wrong, or a query that is not finite,
            which an engine made and for which no neighbour means anything.
    """
    if k < 1:
        raise faults.InvalidInput(
            "at least one neighbour must be asked for", field="k", value=k, fix="k >= 1."
        )
    if queries.ndim != 2 or queries.shape[1] != dim or queries.dtype != np.float32:
        raise faults.InternalError(
            f"queries must be float32 [B, {dim}]", field="queries", value=(queries.shape, str(queries.dtype))
        )
    if not np.isfinite(queries).all():
        raise faults.InternalError(
            "a query vector holds NaN or infinity",
            field="queries",
            fix="the query tower made it: check its engine with the release's probes.",
        )
    if allowed is not None and (allowed.shape != (count,) or allowed.dtype != np.bool_):
        raise faults.InternalError(
            f"allowed must be bool [{count}]", field="allowed", value=(allowed.shape, str(allowed.dtype))
        )
