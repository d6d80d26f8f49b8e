"""A checked query: what the rest of the gateway works with."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_gateway.index.filters import Filter


@dataclass(frozen=True, slots=True)
class Words:
    """A query in words, normalised."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A query by picture, still encoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LikeProduct:
    """More like this product of the release."""

    product_id: str


Subject = Words | Picture | LikeProduct


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search, every field checked.

    Args:
        subject: what to look for.
        k: how many products, at least 1.
        filter: conditions that all must hold.
        fields: product fields to return.
        bypass_cache: neither read nor fill the cache.
    """

    subject: Subject
    k: int
    filter: Filter
    fields: tuple[str, ...]
    bypass_cache: bool = False
