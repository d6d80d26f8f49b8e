"""One search within one release: climb the ladder until the page is full, then say what is on it.

    rungs of ranking.ladder -> asked_channels.ask(depth) -> ranking.ranked.extend -> the page's slice

Whatever is derived from a ranking (facets, relevance control, pages) is derived from whole rungs, so that it
is the same whichever page asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.answer import SearchAnswer
from retrieval_gateway.asked_channels import AskedChannels
from retrieval_gateway.channels.types import Merged
from retrieval_gateway.finding import lexical_of
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.page_token import next_page
from retrieval_gateway.query import RelevanceControl, SearchQuery
from retrieval_gateway.ranking.facets import FacetCounts, count_values
from retrieval_gateway.ranking.ladder import DEEPEST, rungs
from retrieval_gateway.ranking.ranked import NOTHING, Ranked, Steps, extend
from retrieval_gateway.relevance_judge import RelevanceJudge
from retrieval_gateway.search_reports import SearchReports
from retrieval_gateway.stopwatch import Stopwatch
from retrieval_gateway.workers import MANY, Workers

__all__ = ["search"]


async def search(
    query: SearchQuery, release: LoadedRelease, workers: Workers, watch: Stopwatch, reports: SearchReports
) -> SearchAnswer:
    """Answers one query.

    Raises:
        InvalidInput: a picture that cannot be decoded, a vector of another dimension, parts that cancel.
        NotFound: the product is not in the release.
        Unavailable: every channel that was asked has failed.
    """
    channels = AskedChannels(query, release, workers, watch, reports)
    judge: RelevanceJudge | None = None
    ranked = NOTHING
    # One more tells whether there is a next page. Late pages may ask no deeper than a first one could.
    needed = min(query.start + query.k + 1, max(DEEPEST, query.k + 1))
    steps = Steps()
    for depth in rungs(needed, any_depth=channels.any_depth and _plain(query)):
        merged = await channels.ask(depth)
        if ranked is NOTHING:
            judge = _judge(query, release, channels.keywords)
            steps = Steps(judge, query.minimum_score, query.per_style_group, partial(_groups, release))
        heavy = query.relevance.keywords or len(merged) > MANY
        ranked = await workers.run(partial(extend, ranked, merged, steps), heavy=heavy)
        if len(ranked.hits) >= needed or not channels.more or _below(merged, query, channels):
            break
    reports.removed(ranked.removed)
    with watch.stage("assemble"):
        return await _answer(query, release, workers, channels, ranked, judge)


def _below(merged: Merged, query: SearchQuery, channels: AskedChannels) -> bool:
    """Whether all that lies deeper scores below the minimum: the scores of one channel fall with depth."""
    if query.minimum_score is None or len(channels.names) > 1:
        return False
    return bool((merged.scores < np.float32(query.minimum_score)).any())


def _plain(query: SearchQuery) -> bool:
    """Whether nothing is derived from how deep the ranking was computed."""
    return not query.facets and query.relevance == RelevanceControl()


def _judge(query: SearchQuery, release: LoadedRelease, keywords: tuple[str, ...]) -> RelevanceJudge | None:
    return None if query.relevance == RelevanceControl() else RelevanceJudge(query, release, keywords)


def _groups(release: LoadedRelease, rows: NDArray[np.int64]) -> Sequence[str]:
    groups: list[str] = release.table.fields(rows, ("style_group",))["style_group"]
    return groups


async def _answer(
    query: SearchQuery,
    release: LoadedRelease,
    workers: Workers,
    channels: AskedChannels,
    ranked: Ranked,
    judge: RelevanceJudge | None,
) -> SearchAnswer:
    end = query.start + query.k
    hits = ranked.hits.take(np.arange(query.start, min(end, len(ranked.hits)), dtype=np.int64))
    degradations = channels.degradations
    if judge is not None and judge.failed and "lexical_channel_failed" not in degradations:
        degradations.append("lexical_channel_failed")
    if len(hits) < query.k:
        degradations.append("fewer_than_k")
    further = len(ranked.hits) > end and end < DEEPEST
    facets = await workers.run(
        partial(_facets, query, release, ranked.hits.rows), heavy=len(ranked.hits) > MANY
    )
    return SearchAnswer(
        hits=hits,
        several=len(channels.names) > 1,
        keywords=channels.keywords,
        facets=facets,
        matched_words=await _matched_words(query, release, workers, channels.keywords, hits.rows),
        removed=ranked.removed,
        next_page_token=next_page(query, end, release.release_id) if further else "",
        degradations=tuple(degradations),
    )


def _facets(query: SearchQuery, release: LoadedRelease, rows: NDArray[np.int64]) -> tuple[FacetCounts, ...]:
    if not query.facets:
        return ()
    return tuple(
        count_values(field, values) for field, values in release.table.fields(rows, query.facets).items()
    )


async def _matched_words(
    query: SearchQuery,
    release: LoadedRelease,
    workers: Workers,
    keywords: tuple[str, ...],
    rows: NDArray[np.int64],
) -> Sequence[Sequence[str]] | None:
    """Returns for each hit the words of the query, and keywords, in its text; None where nobody asked."""
    if not query.explain:
        return None
    text = " ".join((query.text, *keywords)).strip()
    if not text or release.lexical is None:
        return [()] * len(rows)
    return await workers.run(partial(lexical_of(release).matched_words, text, rows))
