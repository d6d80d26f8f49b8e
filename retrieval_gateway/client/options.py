"""The choices of a search, named as in the API.

The numbers are those of the API; a test compares them. A number that a newer gateway sends and this
client does not know reads as ``UNSPECIFIED``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

__all__ = [
    "CacheSource",
    "Channel",
    "ChannelOptions",
    "Degradation",
    "Merging",
    "Mixing",
    "RelevanceControl",
    "SupplierScope",
    "View",
]


class _Known(IntEnum):
    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls(0) if isinstance(value, int) else None


class Mixing(_Known):
    """How words and picture become one vector, where a query has both."""

    UNSPECIFIED = 0
    ARITHMETIC = 1
    """The weighted mean of both vectors; the gateway's choice."""
    JOINT = 2
    """Both go through the product tower together, as a product's do."""


class Channel(_Known):
    """A way in which a hit is found."""

    UNSPECIFIED = 0
    DENSE = 1
    """Nearest neighbour in the joint embedding."""
    LEXICAL = 2
    """Full text."""


class Merging(_Known):
    """How the channels' rankings become one."""

    UNSPECIFIED = 0
    RECIPROCAL_RANK = 1
    WEIGHTED_SCORES = 2


class View(_Known):
    """By what products are to be similar."""

    UNSPECIFIED = 0
    TEXT = 1
    IMAGE = 2
    BOTH = 3


class SupplierScope(_Known):
    """Whose products ``search_similar`` returns."""

    UNSPECIFIED = 0
    OTHERS = 1
    """Not those of the product's own supplier."""
    OWN = 2
    """Only those: double listings."""


class Degradation(_Known):
    """Why an answer is less than it could be."""

    UNSPECIFIED = 0
    QUERY_TRUNCATED = 1
    FEWER_THAN_K = 2
    DENSE_CHANNEL_FAILED = 3
    LEXICAL_CHANNEL_FAILED = 4
    CPU_INDEX = 5
    VIEW_NOT_AVAILABLE = 6


class CacheSource(_Known):
    """Where an answer came from."""

    UNSPECIFIED = 0
    COMPUTED = 1
    SHARED_FLIGHT = 2
    MEMORY = 3
    REDIS = 4


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """Which channels to ask and how to merge them; what is not given is the release's own choice.

    Args:
        channels: none: all that the query allows.
        merging: how rankings become one.
        dense_weight, lexical_weight: at least 0.
        dense_quota, lexical_quota: least number of the k places that a channel may fill.
    """

    channels: tuple[Channel, ...] = ()
    merging: Merging = Merging.UNSPECIFIED
    dense_weight: float | None = None
    lexical_weight: float | None = None
    dense_quota: int = 0
    lexical_quota: int = 0

    def message(self) -> pb.ChannelOptions:
        """Returns it as the gateway reads it."""
        return pb.ChannelOptions(
            channels=[pb.Channel.ValueType(channel) for channel in self.channels],
            merging=pb.Merging.ValueType(self.merging),
            dense_weight=self.dense_weight,
            lexical_weight=self.lexical_weight,
            dense_quota=self.dense_quota,
            lexical_quota=self.lexical_quota,
        )


@dataclass(frozen=True, slots=True)
class RelevanceControl:
    """What to leave out although it is near.

    Args:
        category: products of categories that the query is not about.
        keywords: products that have none of the query's decisive words.
    """

    category: bool = False
    keywords: bool = False

    def message(self) -> pb.RelevanceControl:
        """Returns it as the gateway reads it."""
        return pb.RelevanceControl(category=self.category, keywords=self.keywords)
