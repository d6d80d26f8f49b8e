"""What belongs to one request and not to its answer: where it came from, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = ["trailer"]

_SOURCES = {
    "computed": pb.CACHE_SOURCE_COMPUTED,
    "flight": pb.CACHE_SOURCE_SHARED_FLIGHT,
    "memory": pb.CACHE_SOURCE_MEMORY,
    "redis": pb.CACHE_SOURCE_REDIS,
}


def trailer(
    kind: type[pb.SearchResponse] | type[pb.SearchSimilarResponse], source: str, seconds: Mapping[str, float]
) -> bytes:
    """Serialises the end of a reply.

    Args:
        kind: the reply's message.
        source: computed, flight, memory or redis.
        seconds: by stage name: cache, preprocess, encode, search, lexical, assemble, total.
    """
    timings = pb.StageTimings(**{f"{stage}_us": round(1e6 * value) for stage, value in seconds.items()})
    return kind(cache_source=_SOURCES[source], timings=timings).SerializeToString()
