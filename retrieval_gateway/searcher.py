"""One request from checked query to reply: is it cached? else answer it, pack it, keep it.

    search  -> ranked_search.search   -> api.replies.search_body
    similar -> similar_search.similar -> api.replies.similar_body

**What is cached:** every answer that query and release decide alone: pages and explanations too. Not cached
is an answer that is degraded by something that may be over a moment later (a channel that failed), and
nothing is read or kept for a request that bypasses the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

from faults import Mismatch
from retrieval_gateway import deadline, ranked_search, similar_search
from retrieval_gateway.answer import Degradation, SearchAnswer, SimilarAnswer, passing
from retrieval_gateway.api import replies
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.cache.key import cache_key
from retrieval_gateway.cache.response_cache import ResponseCache
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.query import Example, Picture, SearchQuery, SimilarQuery, WordsAndPicture, key_parts
from retrieval_gateway.release_follower import ReleaseFollower
from retrieval_gateway.search_reports import Saw, SearchReports, unwatched
from retrieval_gateway.stopwatch import Stopwatch
from retrieval_gateway.workers import MANY, Decode, Workers

__all__ = ["Searcher"]


class Searcher:
    """Answers checked queries from whichever release serves.

    Args:
        follower: the owner of the serving release.
        cache: finished replies.
        executor: runs what computes (index, full text, decoder) beside the event loop.
        metrics: stage times and cache answers.
        place: holds a place for one computation, or refuses it (``admission.Admission.compute``).
        decode: decodes pictures (``security.picture_pool.PicturePool.decode``); None: the executor does.
        saw: told how channels fared (``degraded.Degraded.saw``).
    """

    def __init__(
        self,
        follower: ReleaseFollower,
        cache: ResponseCache,
        executor: Executor,
        metrics: Metrics,
        place: Callable[[], AbstractContextManager[None]] = nullcontext,
        decode: Decode | None = None,
        saw: Saw = unwatched,
    ) -> None:
        self._follower = follower
        self._cache = cache
        self._workers = Workers(executor, decode)
        self._metrics = metrics
        self._reports = SearchReports(metrics, saw)
        self._place = place

    async def search(self, query: SearchQuery) -> bytes:
        """Returns a serialised SearchResponse.

        Raises:
            InvalidInput: a picture that cannot be decoded, or a vector of another dimension.
            Mismatch: the page belongs to another release.
            NotFound: the product is not in the release.
            Overloaded: as many answers are being computed as end in time.
            Unavailable: no release serves, or every channel failed and the cache cannot help.
        """
        return await self._reply(query, pb.SearchResponse)

    async def similar(self, query: SimilarQuery) -> bytes:
        """Returns a serialised SearchSimilarResponse; errors as ``search``."""
        return await self._reply(query, pb.SearchSimilarResponse)

    async def prewarm(self, query: SearchQuery | SimilarQuery, release: LoadedRelease) -> None:
        """Answers from a release that need not serve yet, and keeps the answer; errors as ``search``."""
        await self._cached(query, release, Stopwatch())

    async def _reply(
        self,
        query: SearchQuery | SimilarQuery,
        kind: type[pb.SearchResponse] | type[pb.SearchSimilarResponse],
    ) -> bytes:
        watch = Stopwatch()
        with self._follower.current() as release:
            _require_release(query, release)
            if query.bypass_cache:
                body, source = (await self._answer(query, release, watch)).body, "computed"
            else:
                body, source = await self._cached(query, release, watch)
        self._metrics.answers.labels(source).inc()
        for stage, seconds in watch.seconds.items():
            self._metrics.stage_seconds.labels(stage).observe(seconds)
        return body + replies.trailer(kind, source, {**watch.seconds, "total": watch.total})

    async def _cached(
        self, query: SearchQuery | SimilarQuery, release: LoadedRelease, watch: Stopwatch
    ) -> tuple[bytes, str]:
        computing = Stopwatch()
        taken = 0.0

        async def compute() -> bytes:
            nonlocal taken
            began = watch.total
            answer = await self._answer(query, release, computing)
            taken = watch.total - began
            if not answer.lasting:
                raise _NotKept(answer.body)
            return answer.body

        key = cache_key(release.release_id, key_parts(query))
        try:
            found = await self._cache.get_or_compute(
                key,
                release.release_id,
                compute,
                replay=query if _is_small(query) else None,
                budget_s=deadline.remaining(),
            )
            body, source = found.payload, str(found.source)
        except _NotKept as passed_by:
            body, source = passed_by.body, "computed" if taken else "flight"
        # What the cache itself took is what is left when the computation is taken off.
        watch.seconds["cache"] = max(0.0, watch.total - taken)
        if source == "computed":
            watch.seconds |= computing.seconds
        return body, source

    async def _answer(
        self, query: SearchQuery | SimilarQuery, release: LoadedRelease, watch: Stopwatch
    ) -> _Answer:
        answer: SearchAnswer | SimilarAnswer
        with self._place():
            if isinstance(query, SearchQuery):
                answer = await ranked_search.search(query, release, self._workers, watch, self._reports)
                pack = partial(replies.search_body, release.release_id, release.table, answer, query.fields)
            else:
                answer = await similar_search.similar(query, release, self._workers, watch, self._reports)
                pack = partial(replies.similar_body, release.release_id, release.table, answer, query.fields)
            with watch.stage("assemble"):
                body = await self._workers.run(pack, heavy=query.k > MANY)
        return _Answer(body, answer.degradations)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A packed answer, and why it is less than it could be."""

    body: bytes
    degradations: tuple[Degradation, ...]

    @property
    def lasting(self) -> bool:
        """Whether the same query would be answered alike a moment later."""
        return not passing(self.degradations)


class _NotKept(Exception):
    """No error, but the way past a cache that keeps what is returned: carries an answer to all who wait."""

    def __init__(self, body: bytes) -> None:
        super().__init__("an answer that is not kept")
        self.body = body


def _require_release(query: SearchQuery | SimilarQuery, release: LoadedRelease) -> None:
    """Refuses a page of another release's ranking: it would repeat some products and skip others."""
    wanted = query.page_of if isinstance(query, SearchQuery) else None
    if wanted is not None and wanted != release.release_id:
        raise Mismatch(
            "page_token: release",
            expected=release.release_id,
            found=wanted,
            fix="The products have changed since the first page: ask for it again, without a page_token.",
        )


def _is_small(query: SearchQuery | SimilarQuery) -> bool:
    """Whether a query may be kept, to be asked again of the next release: pictures are large, pages end."""
    if isinstance(query.subject, Picture | WordsAndPicture):
        return False
    if isinstance(query.subject, Example):
        return not query.subject.data
    return isinstance(query, SimilarQuery) or query.page_of is None
