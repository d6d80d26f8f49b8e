"""One search from checked query to reply: cache? -> encode -> search -> assemble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

import numpy as np

from catalog.pictures import decode_picture
from faults import InvalidInput, NotFound
from retrieval_gateway.api import replies
from retrieval_gateway.cache.key import KeyPart, cache_key
from retrieval_gateway.cache.response_cache import ResponseCache
from retrieval_gateway.encoding.encoder import Pixels, Vector
from retrieval_gateway.index.types import Neighbours
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.query import LikeProduct, Picture, SearchQuery, Words
from retrieval_gateway.release_follower import ReleaseFollower
from retrieval_gateway.stopwatch import Stopwatch

T = TypeVar("T")


class Searcher:
    """Answers checked queries from whichever release serves.

    Args:
        follower: the owner of the serving release.
        cache: finished replies.
        executor: runs what computes (index, decoder) beside the event loop.
        metrics: stage times and cache answers.
    """

    def __init__(
        self, follower: ReleaseFollower, cache: ResponseCache, executor: Executor, metrics: Metrics
    ) -> None:
        self._follower = follower
        self._cache = cache
        self._executor = executor
        self._metrics = metrics

    async def search(self, query: SearchQuery) -> bytes:
        """Returns a serialised SearchResponse.

        Raises:
            InvalidInput: a picture that cannot be decoded, or a filter that does not fit its field.
            NotFound: the product is not in the release.
            Unavailable: no release serves, or Triton does not answer and the cache cannot help.
        """
        watch = Stopwatch()
        with self._follower.current() as release:
            if query.bypass_cache:
                body, source = await self._answer(query, release, watch), "computed"
            else:
                body, source = await self._cached_answer(query, release, watch)
        self._metrics.answers.labels(source).inc()
        for stage, seconds in watch.seconds.items():
            self._metrics.stage_seconds.labels(stage).observe(seconds)
        return body + replies.trailer(source, {**watch.seconds, "total": watch.total})

    async def _cached_answer(
        self, query: SearchQuery, release: LoadedRelease, watch: Stopwatch
    ) -> tuple[bytes, str]:
        key = cache_key(release.release_id, key_parts(query))
        computing = Stopwatch()
        answer = await self._cache.get_or_compute(
            key, release.release_id, lambda: self._answer(query, release, computing)
        )
        # What the cache itself took is what is left when the computation is taken off.
        watch.seconds["cache"] = max(0.0, watch.total - sum(computing.seconds.values()))
        if answer.source == "computed":
            watch.seconds |= computing.seconds
        return answer.payload, answer.source

    async def _answer(self, query: SearchQuery, release: LoadedRelease, watch: Stopwatch) -> bytes:
        vector, truncated = await self._vector(query, release, watch)
        with watch.stage("search"):
            found = await self._run(partial(_find, release, vector, query))
        with watch.stage("assemble"):
            return replies.body(release.release_id, release.table, found, query.k, query.fields, truncated)

    async def _vector(
        self, query: SearchQuery, release: LoadedRelease, watch: Stopwatch
    ) -> tuple[Vector, bool]:
        """Returns the query's vector, and whether its words were cut."""
        match query.subject:
            case Words(text):
                with watch.stage("preprocess"):
                    tokens = release.encoder.tokenise(text)
                with watch.stage("encode"):
                    return await release.encoder.encode_words(tokens), tokens.truncated
            case Picture(data):
                size = release.manifest.picture_size
                with watch.stage("preprocess"):
                    pixels = await self._run(partial(_decode, data, size, release))
                with watch.stage("encode"):
                    return await release.encoder.encode_picture(pixels), False
            case LikeProduct(product_id):
                return _stored_vector(product_id, release), False

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def key_parts(query: SearchQuery) -> dict[str, KeyPart]:
    """Returns everything of a query that decides its answer within a release."""
    subject: dict[str, KeyPart]
    match query.subject:
        case Words(text):
            subject = {"words": text}
        case Picture(data):
            subject = {"picture": data}
        case LikeProduct(product_id):
            subject = {"like": product_id}
    return {**subject, "k": query.k, "filter": query.filter.key_parts(), "fields": query.fields}


def _decode(data: bytes, size: int, release: LoadedRelease) -> Pixels:
    try:
        return decode_picture(data, size, release.picture_limits)
    except InvalidInput as error:
        raise InvalidInput(error.problem, field="query.picture", value=error.value, fix=error.fix) from error


def _stored_vector(product_id: str, release: LoadedRelease) -> Vector:
    row = release.table.row_of(product_id)
    if row is None:
        raise NotFound(
            f"no such product in release {release.release_id}",
            field="query.product_id",
            value=product_id,
            fix="Give the id of a product that this release has.",
        )
    return np.array(release.vectors[row])


def _find(release: LoadedRelease, vector: Vector, query: SearchQuery) -> Neighbours:
    allowed = release.masks.mask(query.filter)
    excluded = (
        release.table.row_of(query.subject.product_id) if isinstance(query.subject, LikeProduct) else None
    )
    k = query.k if excluded is None else query.k + 1
    found = release.index.search(vector[None], k, allowed)
    return found if excluded is None else without(found, excluded, query.k)


def without(found: Neighbours, row: int, k: int) -> Neighbours:
    """Takes one row out of the neighbours of one query and cuts them to ``k``: nothing is like itself."""
    kept = found.rows[0] != row
    return Neighbours(found.rows[:, kept][:, :k], found.scores[:, kept][:, :k])
