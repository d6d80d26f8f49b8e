"""Neighbours to a packed reply.

A reply is two serialised messages put end to end: the body, which is the same for every
asker and is what the cache holds, and the trailer with this request's own timings.
Protobuf defines that parsing such a concatenation merges the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.index.product_fields import NUMBERS
from retrieval_gateway.index.product_table import ProductTable
from retrieval_gateway.index.types import Neighbours

MODALITY_WEIGHTS = ("text_weight", "image_weight")

_SOURCES = {
    "computed": pb.CACHE_SOURCE_COMPUTED,
    "flight": pb.CACHE_SOURCE_SHARED_FLIGHT,
    "memory": pb.CACHE_SOURCE_MEMORY,
    "redis": pb.CACHE_SOURCE_REDIS,
}


def body(
    release_id: str,
    table: ProductTable,
    found: Neighbours,
    k: int,
    fields: Sequence[str],
    truncated: bool,
) -> bytes:
    """Serialises the part of a reply that is the same for every asker.

    Args:
        release_id: the release that answered.
        table: its products.
        found: neighbours of the one query, at least one row of them; -1 marks none.
        k: how many were asked for.
        fields: product fields to return.
        truncated: the query was longer than the tower reads.
    """
    hit = found.rows[0] >= 0
    rows = found.rows[0][hit]
    weights = table.fields(rows, MODALITY_WEIGHTS)
    reply = pb.SearchResponse(
        product_ids=table.ids(rows),
        scores=found.scores[0][hit].tolist(),
        text_weights=weights["text_weight"],
        image_weights=weights["image_weight"],
        channels=[pb.CHANNEL_DENSE] * len(rows),
        columns=[_column(name, values) for name, values in table.fields(rows, fields).items()],
        release_id=release_id,
    )
    if truncated:
        reply.degradations.append(pb.DEGRADATION_QUERY_TRUNCATED)
    if len(rows) < k:
        reply.degradations.append(pb.DEGRADATION_FEWER_THAN_K)
    return reply.SerializeToString()


def trailer(source: str, seconds: Mapping[str, float]) -> bytes:
    """Serialises what belongs to one request: where the answer came from and where the time went.

    Args:
        source: computed, flight, memory or redis.
        seconds: by stage name: cache, preprocess, encode, search, assemble, total.
    """
    timings = pb.StageTimings(**{f"{stage}_us": round(1e6 * value) for stage, value in seconds.items()})
    return pb.SearchResponse(cache_source=_SOURCES[source], timings=timings).SerializeToString()


def _column(name: str, values: Sequence[Any]) -> pb.Column:
    """Packs one field; a missing value is sent as the type's empty value and marked in ``present``."""
    column = pb.Column(field=name)
    present = [value is not None and value != "" for value in values]
    if name == "in_stock":
        column.flags.extend(bool(value) for value in values)
    elif name in NUMBERS:
        column.numbers.extend(0.0 if value is None else float(value) for value in values)
    else:
        column.texts.extend(values)
    if not all(present):
        column.present.extend(present)
    return column
