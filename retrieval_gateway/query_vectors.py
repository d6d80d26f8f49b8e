"""From what the shopper gave to the vector that is searched with: encode, mix, take away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from faults import InvalidInput, NotFound
from retrieval_gateway.encoding.arithmetic import mix, take_away, unit
from retrieval_gateway.encoding.rows import Pixels, Vector
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.query import (
    GivenVector,
    LikeProduct,
    Picture,
    SearchQuery,
    Subject,
    Words,
    WordsAndPicture,
)
from retrieval_gateway.stopwatch import Stopwatch
from retrieval_gateway.workers import Workers

__all__ = ["QueryVector", "query_vector", "row_of"]

_Call = Callable[[], Awaitable[Vector]]


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A query as the index takes it.

    Attributes:
        vector: float32[dim], of length 1.
        truncated: words were cut on the way.
        keywords: that the query tower read beside the words.
    """

    vector: Vector
    truncated: bool = False
    keywords: tuple[str, ...] = ()


async def query_vector(
    query: SearchQuery, release: LoadedRelease, workers: Workers, watch: Stopwatch
) -> QueryVector:
    """Returns the vector of a query.

    Raises:
        InvalidInput: a picture that cannot be decoded, a vector of another dimension, or parts that cancel.
        NotFound: the product is not in the release.
        Unavailable: Triton does not answer.
    """
    stored = _stored(query.subject, release)
    if stored is not None and query.without is None:
        return QueryVector(stored)
    with watch.stage("preprocess"):
        calls, truncated, keywords = await _prepared(query.subject, release, workers)
        if query.without is not None:
            unwanted = release.encoder.tokenise(query.without.text)
            calls.append(partial(release.encoder.encode_words, unwanted))
    with watch.stage("encode"):
        vectors = await _all(calls)
    vector = vectors[0] if stored is None else stored
    if isinstance(query.subject, WordsAndPicture) and query.subject.picture_weight is not None:
        vector = mix(vectors[0], vectors[1], query.subject.picture_weight)
    if query.without is not None:
        vector = take_away(vector, vectors[-1], query.without.weight)
    return QueryVector(vector, truncated, keywords)


def row_of(product_id: str, release: LoadedRelease, field: str) -> int:
    """Returns the row of a product.

    Raises:
        NotFound: the release has no such product.
    """
    row = release.table.row_of(product_id)
    if row is None:
        raise NotFound(
            f"no such product in release {release.release_id}",
            field=field,
            value=product_id,
            fix="Give the id of a product that this release has.",
        )
    return row


def _stored(subject: Subject, release: LoadedRelease) -> Vector | None:
    """Returns the vector that is there without an encoder; None for words and pictures."""
    if isinstance(subject, LikeProduct):
        return np.array(release.vectors[row_of(subject.product_id, release, "query.product_id")])
    if isinstance(subject, GivenVector):
        numbers = np.frombuffer(subject.data, "<f4")
        if len(numbers) != release.manifest.dim:
            raise InvalidInput(
                f"release {release.release_id} has vectors of {release.manifest.dim} numbers",
                field="query.vector",
                value=f"{len(numbers)} numbers",
                fix="Give a vector of this release's query tower.",
            )
        return unit(numbers)
    return None


async def _prepared(
    subject: Subject, release: LoadedRelease, workers: Workers
) -> tuple[list[_Call], bool, tuple[str, ...]]:
    """Tokenises and decodes; returns the calls of the towers, whether words were cut, and the keywords."""
    encoder = release.encoder
    match subject:
        case Words(text):
            tokens = encoder.tokenise(text)
            return [partial(encoder.encode_words, tokens)], tokens.truncated, tokens.keywords
        case Picture(data):
            pixels = await _decoded(data, release, workers)
            return [partial(encoder.encode_picture, pixels)], False, ()
        case WordsAndPicture(text, data, weight):
            pixels = await _decoded(data, release, workers)
            if weight is None:
                tokens = encoder.tokenise_product(text)
                return [partial(encoder.encode_product, tokens, pixels)], tokens.truncated, ()
            tokens = encoder.tokenise(text)
            calls: list[_Call] = [
                partial(encoder.encode_words, tokens),
                partial(encoder.encode_picture, pixels),
            ]
            return calls, tokens.truncated, tokens.keywords
    return [], False, ()


async def _decoded(data: bytes, release: LoadedRelease, workers: Workers) -> Pixels:
    return await workers.decode(data, release.manifest.picture_size, release.picture_limits, "query.picture")


async def _all(calls: Sequence[_Call]) -> list[Vector]:
    if len(calls) == 1:  # nearly always: without the cost of a task
        return [await calls[0]()]
    return list(await asyncio.gather(*(call() for call in calls)))
