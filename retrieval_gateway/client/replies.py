"""Replies as typed views of the messages that came: nothing is copied before it is read.

A reply may hold thousands of products, and a load test reads only their number; so the message is
kept (``raw``), and each part is made when it is asked for, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client.hits import Column, Hit, columns_of, hits_of
from retrieval_gateway.client.options import CacheSource, Degradation

__all__ = ["Facet", "Removal", "SearchReply", "Timings", "degradations_of", "timings_of"]


@dataclass(frozen=True, slots=True)
class Facet:
    """How often each value of a field occurs among the products that were ranked.

    Args:
        field: the product field.
        counts: (value, products), the most frequent first.
        missing: products without a value.
        of: products that were counted.
    """

    field: str
    counts: tuple[tuple[str, int], ...]
    missing: int
    of: int


@dataclass(frozen=True, slots=True)
class Removal:
    """What relevance control left out, and why."""

    reason: str
    products: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in microseconds; 0 for a stage that was not run."""

    cache_us: int = 0
    preprocess_us: int = 0
    encode_us: int = 0
    search_us: int = 0
    lexical_us: int = 0
    assemble_us: int = 0
    total_us: int = 0


@dataclass(frozen=True)
class SearchReply:
    """The answer to a search."""

    raw: pb.SearchResponse
    """The message as it came."""

    @cached_property
    def hits(self) -> tuple[Hit, ...]:
        """The products, best first."""
        return hits_of(self.raw)

    @cached_property
    def product_ids(self) -> tuple[str, ...]:
        """The products' ids alone, best first."""
        return tuple(self.raw.product_ids)

    @cached_property
    def scores(self) -> tuple[float, ...]:
        """The scores alone."""
        return tuple(self.raw.scores)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The product fields, one column each, in the order of the request."""
        return columns_of(self.raw.columns)

    @cached_property
    def facets(self) -> tuple[Facet, ...]:
        """One a requested facet, in the order of the request."""
        return tuple(
            Facet(one.field, tuple(zip(one.values, one.counts, strict=True)), one.missing, one.of)
            for one in self.raw.facets
        )

    @property
    def release_id(self) -> str:
        """The release that answered."""
        return self.raw.release_id

    @property
    def degradations(self) -> tuple[Degradation, ...]:
        """Why the answer is less than it could be; empty if it is not."""
        return degradations_of(self.raw.degradations)

    @property
    def cache_source(self) -> CacheSource:
        """Where the answer came from."""
        return CacheSource(self.raw.cache_source)

    @property
    def timings(self) -> Timings:
        """Where the time went."""
        return timings_of(self.raw.timings)

    @property
    def next_page_token(self) -> str:
        """For the next page; empty where there is none."""
        return self.raw.next_page_token

    @property
    def keywords(self) -> tuple[str, ...]:
        """Words that the release knows the query to mean as well."""
        return tuple(self.raw.keywords)

    @property
    def removals(self) -> tuple[Removal, ...]:
        """What relevance control left out."""
        return tuple(Removal(one.reason, one.products) for one in self.raw.removals)


def degradations_of(numbers: Sequence[int]) -> tuple[Degradation, ...]:
    """Returns the reasons by name."""
    return tuple(Degradation(number) for number in numbers)


def timings_of(message: pb.StageTimings) -> Timings:
    """Returns the stages' times."""
    return Timings(**{stage.name: value for stage, value in message.ListFields()})
