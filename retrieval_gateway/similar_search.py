"""Products like one product within one release: by its stored vectors, or by those of a shown example.

Similar **by both** is near in the index. Similar **by text** or **by picture** is near by that half alone:
the index, which holds the vectors of whole products, proposes candidates, and the stored vectors of that half
score them. Where a half is missing (the release keeps none, the product has no picture) both halves answer,
and the reply says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from retrieval_gateway.answer import Degradation, SimilarAnswer
from retrieval_gateway.channels.types import Ranking
from retrieval_gateway.encoding.rows import Vector
from retrieval_gateway.finding import Found, nearest
from retrieval_gateway.index.filters import AnyOf, Condition, Filter, NoneOf
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.query import Example, LikeProduct, SimilarQuery, View
from retrieval_gateway.query_vectors import row_of
from retrieval_gateway.ranking.ladder import DEEPEST
from retrieval_gateway.ranking.sections import Sections, by_score, split
from retrieval_gateway.search_reports import SearchReports
from retrieval_gateway.stopwatch import Stopwatch
from retrieval_gateway.workers import Workers

__all__ = ["similar"]

_CANDIDATES = 2048
"""Proposed at least for a view: a catalogue of that size is compared whole."""
_GROWTH = 4


@dataclass(frozen=True, slots=True)
class _Trigger:
    """The product that others are compared with.

    Attributes:
        vector: float32[dim], of length 1.
        view: the half that the vector is of; None: both.
        row: its row, which is not found; None for an example.
        degradations: what is less than was asked for.
    """

    vector: Vector
    view: View | None
    row: int | None = None
    degradations: tuple[Degradation, ...] = ()


async def similar(
    query: SimilarQuery, release: LoadedRelease, workers: Workers, watch: Stopwatch, reports: SearchReports
) -> SimilarAnswer:
    """Answers one query.

    Raises:
        InvalidInput: a picture that cannot be decoded.
        NotFound: the product is not in the release.
        Unavailable: Triton or the index does not answer.
    """
    subject = query.subject
    if isinstance(subject, LikeProduct):
        trigger = _stored(subject, query.view, release)
    else:
        trigger = await _encoded(subject, query.view, release, workers, watch)
    wanted = _scoped(query, release, trigger)
    threshold = release.same_style_threshold_of(trigger.view)
    with watch.stage("search"):
        sections, on_cpu = await workers.run(partial(_sections, query.k, release, trigger, wanted, threshold))
    reports.answered("dense", on_cpu=on_cpu)
    degradations = list(trigger.degradations)
    if on_cpu:
        degradations.append("cpu_index")
    if len(sections.similar.rows) < query.k:
        degradations.append("fewer_than_k")
    return SimilarAnswer(sections, threshold, tuple(degradations))


def _stored(subject: LikeProduct, view: View | None, release: LoadedRelease) -> _Trigger:
    row = row_of(subject.product_id, release, "product_id")
    if view is None:
        return _Trigger(np.array(release.vectors[row]), None, row)
    if view in release.views:
        vector = np.array(release.views[view][row])
        if vector.any():
            return _Trigger(vector, view, row)
    return _Trigger(np.array(release.vectors[row]), None, row, ("view_not_available",))


async def _encoded(
    subject: Example, view: View | None, release: LoadedRelease, workers: Workers, watch: Stopwatch
) -> _Trigger:
    """Embeds an example as a product: both halves that were given, or the one that was asked for."""
    encoder, size = release.encoder, release.manifest.picture_size
    tokens, pixels = None, None
    with watch.stage("preprocess"):
        if subject.text and view != "image":
            tokens = encoder.tokenise_product(subject.text)
        if subject.data and view != "text":
            pixels = await workers.decode(subject.data, size, release.picture_limits, "picture")
    with watch.stage("encode"):
        vector = await encoder.encode_product(tokens, pixels)
    degradations: list[Degradation] = []
    if tokens is not None and tokens.truncated:
        degradations.append("query_truncated")
    if view is not None and view not in release.views:
        degradations.append("view_not_available")
    return _Trigger(vector, view if view in release.views else None, None, tuple(degradations))


def _scoped(query: SimilarQuery, release: LoadedRelease, trigger: _Trigger) -> Filter | None:
    """Returns the filter with the suppliers' scope in it; None where nothing can satisfy it.

    A product without a supplier is nobody's: it has no double listings, and everybody else is another.
    """
    if query.suppliers == "all" or trigger.row is None:
        return query.filter
    supplier = release.table.fields(np.array([trigger.row]), ("supplier",))["supplier"][0]
    if not supplier:
        return query.filter if query.suppliers == "others" else None
    own: Condition = AnyOf("supplier", (supplier,))
    others: Condition = NoneOf("supplier", (supplier,))
    return Filter((*query.filter.conditions, own if query.suppliers == "own" else others))


def _sections(
    k: int, release: LoadedRelease, trigger: _Trigger, wanted: Filter | None, threshold: float | None
) -> tuple[Sections, bool]:
    """Asks ever deeper until both sections are full, nothing more is found, or the bound is reached."""
    if wanted is None:
        nothing = Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32))
        return Sections(nothing, nothing), False
    depth = max(2 * k, _CANDIDATES if trigger.view is not None else 0)
    while True:
        found = _nearest(release, trigger, wanted, depth)
        sections = split(found.ranking, threshold, k)
        if len(sections.similar.rows) >= k or not found.more or depth >= max(DEEPEST, 2 * k):
            return sections, found.on_cpu
        depth *= _GROWTH


def _nearest(release: LoadedRelease, trigger: _Trigger, wanted: Filter, depth: int) -> Found:
    found = nearest(release, trigger.vector, depth, wanted, trigger.row)
    if trigger.view is None:
        return found
    rows = np.sort(found.ranking.rows)  # rising: the pages of the file are read in their order
    vectors = release.views[trigger.view][rows]
    has_view = vectors.any(axis=1)
    scores = np.einsum("nd,d->n", vectors[has_view], trigger.vector)
    return replace(found, ranking=by_score(Ranking(rows[has_view], scores)))
