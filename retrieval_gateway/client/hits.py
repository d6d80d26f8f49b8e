"""Hits from the parallel arrays of a reply, and what is told about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.client.options import Channel

__all__ = ["Column", "Explanation", "FieldValue", "Hit", "columns_of", "hits_of"]

FieldValue = str | float | bool | None
"""A product field's value; None where the product has none."""


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one product field, one a hit."""

    field: str
    values: tuple[FieldValue, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a hit came to its score.

    Args:
        dense_rank: 1 for the best; 0 where that channel did not find it.
        dense_score: cosine.
        lexical_rank: as dense_rank.
        lexical_score: BM25.
        matched_words: words of the query, and keywords, that the product's text has.
    """

    dense_rank: int
    dense_score: float
    lexical_rank: int
    lexical_score: float
    matched_words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One product found.

    Args:
        product_id: its id.
        score: cosine of the query's and the product's embedding, or what merging made of it.
        text_weight, image_weight: how much of the embedding comes from text and from pictures; they sum to 1.
        channel: the way it was found.
        only_channel: no other channel found it; None where only one was asked.
        fields: what was asked for, by name.
        explanation: with ``explain``.
    """

    product_id: str
    score: float
    text_weight: float
    image_weight: float
    channel: Channel = Channel.UNSPECIFIED
    only_channel: bool | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    explanation: Explanation | None = None


def columns_of(columns: Sequence[pb.Column]) -> tuple[Column, ...]:
    """Returns the columns of a reply, with None where a product has no value."""
    return tuple(Column(column.field, _values(column)) for column in columns)


def _values(column: pb.Column) -> tuple[FieldValue, ...]:
    values: Sequence[FieldValue] = column.texts or column.numbers or column.flags
    if not column.present:
        return tuple(values)
    return tuple(value if there else None for value, there in zip(values, column.present, strict=True))


def hits_of(reply: pb.SearchResponse | pb.Section) -> tuple[Hit, ...]:
    """Returns the hits of a reply or of one of its sections, best first."""
    count = len(reply.product_ids)
    columns = columns_of(reply.columns)
    rows = zip(*(column.values for column in columns), strict=True) if columns else ((),) * count
    names = [column.field for column in columns]
    return tuple(
        Hit(*weights, *how, dict(zip(names, row, strict=True)), explanation)
        for weights, how, row, explanation in zip(
            zip(reply.product_ids, reply.scores, reply.text_weights, reply.image_weights, strict=True),
            _ways(reply, count),
            rows,
            _explanations(reply, count),
            strict=True,
        )
    )


def _ways(reply: pb.SearchResponse | pb.Section, count: int) -> Sequence[tuple[Channel, bool | None]]:
    """Channel and whether it was the only one, a hit each; a section's hits are all dense."""
    if isinstance(reply, pb.Section):
        return [(Channel.DENSE, None)] * count
    only: Sequence[bool | None] = reply.only_channel or [None] * count
    channels = [Channel(number) for number in reply.channels] or [Channel.UNSPECIFIED] * count
    return list(zip(channels, only, strict=True))


def _explanations(reply: pb.SearchResponse | pb.Section, count: int) -> Sequence[Explanation | None]:
    if isinstance(reply, pb.Section) or not reply.explanations:
        return [None] * count
    return [
        Explanation(
            one.dense_rank, one.dense_score, one.lexical_rank, one.lexical_score, tuple(one.matched_words)
        )
        for one in reply.explanations
    ]
