"""What a search found, before it becomes bytes. A leaf between searching and replying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retrieval_gateway.channels.types import Merged
from retrieval_gateway.ranking.facets import FacetCounts
from retrieval_gateway.ranking.sections import Sections

__all__ = ["Degradation", "SearchAnswer", "SimilarAnswer", "passing"]

Degradation = Literal[
    "query_truncated",
    "fewer_than_k",
    "dense_channel_failed",
    "lexical_channel_failed",
    "cpu_index",
    "view_not_available",
]
"""Why an answer is less than it could be; the names of the API, in lower case."""

_PASSING = frozenset({"dense_channel_failed", "lexical_channel_failed", "cpu_index"})


def passing(degradations: Sequence[Degradation]) -> bool:
    """Tells whether an answer is degraded by something that may be over a moment later.

    Such an answer is not cached: it would outlive its cause.
    """
    return not _PASSING.isdisjoint(degradations)


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """One page of one ranking.

    Attributes:
        hits: of this page, best first.
        several: more than one channel was asked.
        keywords: words of the release's table that the query tower read.
        facets: in the order of the request.
        matched_words: of each hit, with ``explain``; else None.
        removed: products that relevance control left out, by reason.
        next_page_token: "" where there is no further page.
        degradations: each once.
    """

    hits: Merged
    several: bool
    keywords: tuple[str, ...]
    facets: tuple[FacetCounts, ...]
    matched_words: Sequence[Sequence[str]] | None
    removed: Mapping[str, int]
    next_page_token: str
    degradations: tuple[Degradation, ...]


@dataclass(frozen=True, slots=True)
class SimilarAnswer:
    """Both sections of similar products.

    Attributes:
        sections: same style, and similar.
        threshold: where they part; None where the release was not calibrated.
        degradations: each once.
    """

    sections: Sections
    threshold: float | None
    degradations: tuple[Degradation, ...]
