"""Asks the channels of one query, side by side, and merges what they found.

A channel may fail, and the reply is degraded; only where all fail that were asked is there no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import numpy as np
import structlog

from faults import UserError, VitrineError
from retrieval_gateway.answer import Degradation
from retrieval_gateway.channels.merging import MergePlan, merge
from retrieval_gateway.channels.types import ChannelName, Merged, Ranking
from retrieval_gateway.finding import Found, nearest, with_words
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.query import ChannelChoice, LikeProduct, SearchQuery
from retrieval_gateway.query_vectors import QueryVector, query_vector
from retrieval_gateway.ranking.ranked import append
from retrieval_gateway.search_reports import SearchReports
from retrieval_gateway.stopwatch import Stopwatch
from retrieval_gateway.workers import MANY, Workers

__all__ = ["AskedChannels", "plan_of"]

log = structlog.get_logger(__name__)

_ALL: tuple[ChannelName, ...] = ("dense", "lexical")
_EXACT = ("flat", "exact")
"""Kinds of index whose deeper answer begins with every shallower one."""


class AskedChannels:
    """The channels of one query. Used by one request.

    Args:
        query: what is asked.
        release: who is asked.
        workers: where they compute.
        watch: told the stages.
        reports: told how the channels fared.

    Attributes:
        names: the channels that the query asks, by its own choice or all that query and release allow.
        keywords: that the query tower read; known once the dense channel was asked.
    """

    def __init__(
        self,
        query: SearchQuery,
        release: LoadedRelease,
        workers: Workers,
        watch: Stopwatch,
        reports: SearchReports,
    ) -> None:
        self._query = query
        self._release = release
        self._workers = workers
        self._watch = watch
        self._reports = reports
        both = bool(query.text) and release.lexical is not None
        self.names = query.channels.names or _ALL[: 1 + both]
        self._plan = plan_of(query.channels, release.merge_plan)
        self._vector: QueryVector | None = None
        self._failures: dict[ChannelName, Exception] = {}
        self._more: dict[ChannelName, bool] = {}
        self._on_cpu = False

    @property
    def keywords(self) -> tuple[str, ...]:
        """Words of the release's table that the query tower read."""
        return () if self._vector is None else self._vector.keywords

    @property
    def any_depth(self) -> bool:
        """Whether a deeper answer begins with every shallower one."""
        return self.names == ("dense",) and self._release.index.kind in _EXACT

    @property
    def more(self) -> bool:
        """Whether asking deeper may find more."""
        return any(self._more.values())

    @property
    def degradations(self) -> list[Degradation]:
        """What was cut from the query on its way, and which channels did not do what they should."""
        found: list[Degradation] = []
        if self._vector is not None and self._vector.truncated:
            found.append("query_truncated")
        if "dense" in self._failures:
            found.append("dense_channel_failed")
        if "lexical" in self._failures:
            found.append("lexical_channel_failed")
        if self._on_cpu:
            found.append("cpu_index")
        return found

    async def ask(self, depth: int) -> Merged:
        """Returns the merged ranking of the best ``depth`` hits of each channel.

        Raises:
            UserError: the query's own fault, which no other channel can mend.
            Exception: why the channels failed, where all of them did.
        """
        asked = [name for name in self.names if name not in self._failures]
        attempts = [self._attempt(name, depth) for name in asked]
        # One alone does without the cost of a task.
        found = [await attempts[0]] if len(attempts) == 1 else await asyncio.gather(*attempts)
        if len(self._failures) == len(self.names):
            raise self._failures[self.names[0]]
        rankings = dict(zip(asked, found, strict=True))
        work = partial(self._merged, rankings.get("dense"), rankings.get("lexical"), depth)
        return await self._workers.run(work, heavy=depth > MANY)

    async def _attempt(self, name: ChannelName, depth: int) -> Ranking | None:
        ask: Callable[[int], Awaitable[Found]] = self._dense if name == "dense" else self._lexical
        try:
            found = await ask(depth)
        except Exception as error:  # whatever a channel is broken by, the others answer
            if name == "dense" and isinstance(error, UserError):
                raise
            self._failures[name] = error
            self._more[name] = False
            self._reports.failed(name)
            if not isinstance(error, VitrineError):  # a bug; an outage is told by the metric, without a flood
                log.exception("a channel is broken", channel=name)
            return None
        self._more[name] = found.more
        self._on_cpu |= found.on_cpu
        self._reports.answered(name, on_cpu=found.on_cpu)
        return found.ranking

    async def _dense(self, depth: int) -> Found:
        query, release = self._query, self._release
        if self._vector is None:
            self._vector = await query_vector(query, release, self._workers, self._watch)
        like = query.subject.product_id if isinstance(query.subject, LikeProduct) else None
        excluded = None if like is None else release.table.row_of(like)
        vector = self._vector.vector
        with self._watch.stage("search"):
            return await self._workers.run(partial(nearest, release, vector, depth, query.filter, excluded))

    async def _lexical(self, depth: int) -> Found:
        query = self._query
        with self._watch.stage("lexical"):
            return await self._workers.run(
                partial(with_words, self._release, query.text, depth, query.filter, query.without)
            )

    def _merged(self, dense: Ranking | None, lexical: Ranking | None, depth: int) -> Merged:
        """Quotas share the first k places: those are merged by them, and everything else comes behind."""
        plain = replace(self._plan, dense_quota=0, lexical_quota=0)
        everything = merge(dense, lexical, plain, 2 * depth)
        if self._plan == plain:
            return everything
        first = merge(dense, lexical, self._plan, self._query.k)
        return append(first, everything.take(~np.isin(everything.rows, first.rows)))


def plan_of(choice: ChannelChoice, plan: MergePlan) -> MergePlan:
    """Returns the release's plan with what a request changes in it."""
    if choice == ChannelChoice(choice.names):
        return plan
    return MergePlan(
        method=choice.method or plan.method,
        dense_weight=plan.dense_weight if choice.dense_weight is None else choice.dense_weight,
        lexical_weight=plan.lexical_weight if choice.lexical_weight is None else choice.lexical_weight,
        dense_quota=choice.dense_quota or plan.dense_quota,
        lexical_quota=choice.lexical_quota or plan.lexical_quota,
    )
