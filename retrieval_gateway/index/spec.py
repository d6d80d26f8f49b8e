"""Which index, and how it is set, as plain data that goes into the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self, cast, get_args

import faults

__all__ = ["IndexKind", "IndexSpec"]

IndexKind = Literal["flat", "ivf_sq8"]

_FLAT_BELOW = 50_000
"""Up to here exact search costs about a millisecond a query and needs no recall gate."""
_LISTS_PER_ROOT = 4
_LEAST_PROBES = 32
_LISTS_PER_PROBE = 128
"""32 of 4,096 lists gave recall .988 on a million vectors; larger indexes keep that share."""


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """A kind of index and its settings.

    Attributes:
        kind: ``flat`` (exact) or ``ivf_sq8`` (inverted lists, one byte a dimension).
        nlist: inverted lists; 0 for flat.
        nprobe: lists visited by an unfiltered search; 0 for flat.
    """

    kind: IndexKind
    nlist: int = 0
    nprobe: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(IndexKind):
            raise faults.InvalidInput(
                "no such kind of index",
                field="index.kind",
                value=self.kind,
                fix=f"one of {', '.join(get_args(IndexKind))}.",
            )
        if self.kind == "ivf_sq8" and not 1 <= self.nprobe <= self.nlist:
            raise faults.InvalidInput(
                "between one and all of its lists must be probed",
                field="index.nprobe",
                value=(self.nprobe, self.nlist),
                fix="1 <= nprobe <= nlist.",
            )

    @classmethod
    def for_count(cls, count: int) -> Self:
        """Chooses by the number of vectors: exact while that is cheap, inverted lists above."""
        if count < _FLAT_BELOW:
            return cls("flat")
        return cls.inverted(count)

    @classmethod
    def inverted(cls, count: int) -> Self:
        """Returns inverted lists sized for ``count`` vectors: 4 sqrt(count) of them."""
        nlist = max(1, round(_LISTS_PER_ROOT * math.sqrt(count)))
        return cls("ivf_sq8", nlist, min(nlist, max(_LEAST_PROBES, nlist // _LISTS_PER_PROBE)))

    def with_nprobe(self, nprobe: int) -> Self:
        """Returns the same index searched more or less thoroughly."""
        return replace(self, nprobe=nprobe)

    def parameters(self) -> dict[str, int | float | str]:
        """Returns what stands in the manifest beside the kind."""
        return {"nlist": self.nlist, "nprobe": self.nprobe} if self.kind == "ivf_sq8" else {}

    @classmethod
    def from_manifest(cls, kind: str, parameters: Mapping[str, int | float | str]) -> Self:
        """Reads back what ``parameters`` wrote.

        Raises:
            faults.InvalidInput: an unknown kind or impossible parameters.
        """
        return cls(cast("IndexKind", kind), int(parameters.get("nlist", 0)), int(parameters.get("nprobe", 0)))
