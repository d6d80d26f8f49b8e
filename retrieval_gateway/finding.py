"""One channel asked once: rows of the release that are near a vector, or that have the query's words.

These run in worker threads; everything they read is immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faults import Mismatch
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.types import Ranking
from retrieval_gateway.encoding.rows import Vector
from retrieval_gateway.index.filters import Filter
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.query import Without

__all__ = ["Found", "lexical_of", "nearest", "with_words"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a channel found.

    Attributes:
        ranking: best first.
        more: asked deeper, it may find more.
        on_cpu: the GPU index did not answer, and the CPU did.
    """

    ranking: Ranking
    more: bool
    on_cpu: bool = False


def nearest(
    release: LoadedRelease, vector: Vector, depth: int, wanted: Filter, excluded: int | None = None
) -> Found:
    """Returns the ``depth`` products nearest to a vector.

    Args:
        release: where to search.
        vector: float32[dim], of length 1.
        depth: how many.
        wanted: only products that satisfy it.
        excluded: a row that is not found, since nothing is like itself.
    """
    asked = depth if excluded is None else depth + 1
    found = release.index.search(vector[None], asked, release.masks.mask(wanted))
    hit = found.rows[0] >= 0
    more = bool(hit.all())
    if excluded is not None:
        hit &= found.rows[0] != excluded
    places = np.flatnonzero(hit)[:depth]
    return Found(Ranking(found.rows[0][places], found.scores[0][places]), more, found.on_cpu)


def with_words(
    release: LoadedRelease, text: str, depth: int, wanted: Filter, without: Without | None = None
) -> Found:
    """Returns the ``depth`` products that have the words of a text, by BM25.

    A product that has all of the unwanted words is left out; what is half unwanted is the dense channel's
    matter, which can take a direction away by a weight.

    Raises:
        Mismatch: the release has no full-text index.
    """
    lexical = lexical_of(release)
    ranking = lexical.search(text, depth, release.masks.mask(wanted))
    more = len(ranking.rows) >= depth
    if without is not None:
        kept = ~_has_all(lexical, without.text, ranking.rows)
        ranking = replace(ranking, rows=ranking.rows[kept], scores=ranking.scores[kept])
    return Found(ranking, more)


def lexical_of(release: LoadedRelease) -> LexicalIndex:
    """Returns the release's full-text index.

    Raises:
        Mismatch: it has none.
    """
    if release.lexical is None:
        raise Mismatch(
            f"full text of release {release.release_id}",
            expected="a full-text index",
            found="none",
            fix="Make the release again with `vitrine index`, or ask the dense channel alone.",
        )
    return release.lexical


def _has_all(lexical: LexicalIndex, text: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    words = len(lexical.words(text))
    if not words:
        return np.zeros(len(rows), np.bool_)
    return np.array([len(matched) == words for matched in lexical.matched_words(text, rows)], np.bool_)
