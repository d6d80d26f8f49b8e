"""The answer to a search for similar products, as a typed view of the message."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client.hits import Hit, hits_of
from retrieval_gateway.client.options import CacheSource, Degradation
from retrieval_gateway.client.replies import Timings, degradations_of, timings_of

__all__ = ["Section", "SimilarReply"]


@dataclass(frozen=True)
class Section:
    """Part of an answer about similar products."""

    raw: pb.Section

    @cached_property
    def hits(self) -> tuple[Hit, ...]:
        """The products, best first."""
        return hits_of(self.raw)

    @cached_property
    def product_ids(self) -> tuple[str, ...]:
        """The products' ids alone, best first."""
        return tuple(self.raw.product_ids)


@dataclass(frozen=True)
class SimilarReply:
    """The answer to a search for similar products."""

    raw: pb.SearchSimilarResponse
    """The message as it came."""

    @cached_property
    def same_style(self) -> Section:
        """Products that score at or above the release's threshold."""
        return Section(self.raw.same_style)

    @cached_property
    def similar(self) -> Section:
        """The other products, best first."""
        return Section(self.raw.similar)

    @property
    def same_style_threshold(self) -> float | None:
        """The release's threshold; None where it was not calibrated."""
        return self.raw.same_style_threshold if self.raw.HasField("same_style_threshold") else None

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
