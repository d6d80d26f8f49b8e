"""A checked query: what the rest of the gateway works with, and the one list of what decides its answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Literal

from retrieval_gateway.cache.key import KeyPart
from retrieval_gateway.channels.types import ChannelName
from retrieval_gateway.index.filters import Filter

MergeMethod = Literal["reciprocal_rank", "weighted_scores"]
View = Literal["text", "image"]
"""One half of a product; where neither is named, both count."""


@dataclass(frozen=True, slots=True)
class Words:
    """A query in words, normalised."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A query by picture, still encoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class WordsAndPicture:
    """Both at once.

    Attributes:
        text: normalised.
        data: the picture, still encoded.
        picture_weight: its share, 0 to 1, of the weighted mean of both vectors; None: words and picture go
            through the product tower together, as a product's do.
    """

    text: str
    data: bytes
    picture_weight: float | None


@dataclass(frozen=True, slots=True)
class LikeProduct:
    """More like this product of the release."""

    product_id: str


@dataclass(frozen=True, slots=True)
class GivenVector:
    """A vector that the caller made: float32[n], little-endian; finite, not all zero, of any length."""

    data: bytes


Subject = Words | Picture | WordsAndPicture | LikeProduct | GivenVector


@dataclass(frozen=True, slots=True)
class Without:
    """Words that the products should not be about, and how much of their direction is taken away."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """Which channels to ask and how to merge them. None is the release's own choice.

    Attributes:
        names: the channels asked for; none: all that query and release allow.
        method: how rankings become one.
        dense_weight: of the dense channel, at least 0.
        lexical_weight: of the lexical channel, at least 0.
        dense_quota: least places of the first k that the dense channel fills, where it found so many.
        lexical_quota: likewise.
    """

    names: tuple[ChannelName, ...] = ()
    method: MergeMethod | None = None
    dense_weight: float | None = None
    lexical_weight: float | None = None
    dense_quota: int = 0
    lexical_quota: int = 0


@dataclass(frozen=True, slots=True)
class RelevanceControl:
    """What is left out although it is near: other categories, products without a decisive word."""

    category: bool = False
    keywords: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search, every field checked.

    Attributes:
        subject: what to look for.
        k: how many products, at least 1.
        filter: conditions that all must hold.
        fields: product fields to return.
        without: what to keep away from.
        minimum_score: hits below are left out, on the scale of the reply's scores.
        per_style_group: most products of one style group; 0 does not collapse.
        facets: fields whose values are counted.
        explain: tell of each hit how it was found.
        channels: which to ask.
        relevance: what to leave out afterwards.
        start: hits before this page.
        page_of: release that the page token was made by; None for a first page.
        bypass_cache: neither read nor fill the cache.
    """

    subject: Subject
    k: int
    filter: Filter
    fields: tuple[str, ...]
    without: Without | None = None
    minimum_score: float | None = None
    per_style_group: int = 0
    facets: tuple[str, ...] = ()
    explain: bool = False
    channels: ChannelChoice = ChannelChoice()
    relevance: RelevanceControl = RelevanceControl()
    start: int = 0
    page_of: str | None = None
    bypass_cache: bool = False

    @property
    def text(self) -> str:
        """The words, for full text; "" where none were given."""
        return self.subject.text if isinstance(self.subject, Words | WordsAndPicture) else ""


@dataclass(frozen=True, slots=True)
class Example:
    """A product that the release does not have, by its title, its picture or both ("" where absent)."""

    text: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Products like one product, every field checked.

    Attributes:
        subject: a product of the release, or one that is shown.
        k: most products of either section, at least 1.
        filter: conditions that all must hold.
        fields: product fields to return.
        view: the half by which it is to be similar; None: both.
        suppliers: whose products: everybody's, all but the product's own supplier's, or only those.
        bypass_cache: neither read nor fill the cache.
    """

    subject: LikeProduct | Example
    k: int
    filter: Filter
    fields: tuple[str, ...]
    view: View | None = None
    suppliers: Literal["all", "others", "own"] = "all"
    bypass_cache: bool = False


def key_parts(query: SearchQuery | SimilarQuery) -> dict[str, KeyPart]:
    """Returns everything of a query that decides its answer within a release.

    Every field counts but ``bypass_cache`` and ``page_of`` (which can only be the release itself). A field
    at its default is left out, so that a plain query has a short key.
    """
    return dict(_parts(query)) | {"rpc": type(query).__name__}


def _parts(query: SearchQuery | SimilarQuery) -> Iterator[tuple[str, KeyPart]]:
    for name, default in _DECIDING[type(query)]:
        value = getattr(query, name)
        if value != default:
            yield name, _part(value)


def _part(value: object) -> KeyPart:
    if isinstance(value, Filter):
        return value.key_parts()
    if is_dataclass(value):
        return {field.name: _part(getattr(value, field.name)) for field in fields(value)} | {
            "is": type(value).__name__
        }
    return value  # type: ignore[return-value] # what a query is made of is made of these


_DECIDING = {
    kind: tuple(
        (field.name, ... if field.default is MISSING else field.default)
        for field in fields(kind)
        if field.name not in ("bypass_cache", "page_of")
    )
    for kind in (SearchQuery, SimilarQuery)
}
