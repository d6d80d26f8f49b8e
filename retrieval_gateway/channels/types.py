"""What channels speak: one channel's ranking of rows, and the merged one. A leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChannelName", "Merged", "Ranking"]

ChannelName = Literal["dense", "lexical"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one channel found for one query, best first.

    Attributes:
        rows: int64[n], each row once, no -1.
        scores: float32[n], falling; the channel's own scale (cosine, BM25).
        ceiling: a bound that no row's score for this query can pass; None where the channel knows none.
            That of full text grows with the query's words: hits far below it have few of them or common ones.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """One ranking of several channels, best first; every array has length m.

    Where one channel was asked, ``scores`` are that channel's own.

    Attributes:
        rows: int64[m], each row once.
        scores: float32[m], falling.
        dense: bool[m], the channel that contributed most was the dense one.
        only: bool[m], no other channel found it.
        dense_rank: int32[m], from 1; 0 where the dense channel did not find it.
        dense_score: float32[m], cosine; 0 where it did not find it.
        lexical_rank: int32[m], from 1; 0 where the lexical channel did not find it.
        lexical_score: float32[m], BM25; 0 where it did not find it.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    dense: NDArray[np.bool_]
    only: NDArray[np.bool_]
    dense_rank: NDArray[np.int32]
    dense_score: NDArray[np.float32]
    lexical_rank: NDArray[np.int32]
    lexical_score: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> Merged:
        """Returns the hits at these places, in this order."""
        return Merged(*(getattr(self, name)[places] for name in self.__slots__))
