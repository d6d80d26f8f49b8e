"""A release's two towers as the gateway uses them: words to vector, picture to vector.

Bound to one release: its tokenizer, its picture size and its tower versions travel
together, so no vector can come from parts of two releases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import aio as triton_aio

from catalog.keyword_table import KeywordTable
from catalog.tokenizer import Tokenizer, pad_batch
from faults import DeadlineExceeded, Unavailable
from releases.manifest import Manifest
from releases.token_lengths import token_step
from retrieval_gateway import deadline
from retrieval_gateway.encoding.gatherer import Gatherer
from retrieval_gateway.encoding.rows import Pixels, ProbeInput, ProductEmbedding, ProductRow, Tokens, Vector
from retrieval_gateway.encoding.tower_client import TowerClient
from retrieval_gateway.encoding.trust import Trust

__all__ = [
    "Encoder",
    "EncoderSpec",
    "Pixels",
    "ProbeInput",
    "ProductEmbedding",
    "ProductRow",
    "Tokens",
    "TritonLink",
    "Vector",
    "colour_ramp",
]

Answer = TypeVar("Answer")

_CLOCKS_DIFFER_S = 0.02
"""gRPC may end a call so much before the deadline that it was given."""


@dataclass(frozen=True)
class TritonLink:
    """How a gateway, or the indexer, reaches Triton; see ``GatewaySettings``.

    Args:
        client: the process's one channel to Triton.
        url: its address, for messages.
        rows: most queries of one call.
        calls: calls of one tower in flight.
        timeout_s: bound of one call.
        product_rows: most products of one call; pictures make them heavy.
        on_failure: told of every failed call.
        on_call: told tower and rows of each gathered call.
    """

    client: triton_aio.InferenceServerClient
    url: str
    rows: int = 32
    calls: int = 2
    timeout_s: float = 2.0
    product_rows: int = 16
    on_failure: Callable[[], None] = lambda: None
    on_call: Callable[[str, int], None] = lambda _tower, _rows: None


@dataclass(frozen=True)
class EncoderSpec:
    """The parts of a release that an encoder is bound to."""

    query_version: int
    product_version: int
    max_query_tokens: int
    max_product_tokens: int
    picture_size: int
    views: int
    target: str = "cpu"

    @classmethod
    def of(cls, manifest: Manifest) -> EncoderSpec:
        """Reads the spec from a release's manifest."""
        return cls(
            query_version=manifest.towers["query_tower"].version,
            product_version=manifest.towers["product_tower"].version,
            max_query_tokens=manifest.tokenizer.max_query_tokens,
            max_product_tokens=manifest.tokenizer.max_product_tokens,
            picture_size=manifest.picture_size,
            views=manifest.views,
            target=manifest.engine.target,
        )

    def padded(
        self, rows: Sequence[Sequence[int]], max_tokens: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns ``(input_ids, attention_mask)``, both int64[B,L], of lengths that suit the target."""
        return pad_batch(rows, multiple_of=token_step(self.target), at_most=max_tokens)


class Encoder:
    """The towers of one release.

    Args:
        link: the way to Triton.
        spec: what must agree between release and towers.
        tokenizer: the release's tokenizer.
        keywords: what the query tower reads beside queries, where it was trained to.
    """

    def __init__(
        self,
        link: TritonLink,
        spec: EncoderSpec,
        tokenizer: Tokenizer,
        keywords: KeywordTable | None = None,
    ) -> None:
        self._keywords = keywords
        self._spec = spec
        self.trust = Trust()
        """Whether the towers in Triton are known to be this release's."""
        self._tokenizer = tokenizer
        self._empty_text = tokenizer.encode([""], spec.max_product_tokens)[0]
        self._query_tower = _client_of(link, "query_tower", spec.query_version)
        self._product_tower = _client_of(link, "product_tower", spec.product_version)
        self._queries: Gatherer[list[int], Vector] = Gatherer(
            self.query_vectors,
            rows=link.rows,
            calls=link.calls,
            order=len,
            on_call=lambda rows: link.on_call("query_tower", rows),
        )
        self._products: Gatherer[ProductRow, ProductEmbedding] = Gatherer(
            self.product_embeddings,
            rows=link.product_rows,
            calls=link.calls,
            order=lambda row: len(row.ids),
            on_call=lambda rows: link.on_call("product_tower", rows),
        )

    def tokenise(self, text: str) -> Tokens:
        """Returns the ids of a query and its keywords, cut to the query tower's length.

        Keywords stand last: a long query loses them first, and that is no truncation.
        """
        limit = self._spec.max_query_tokens
        tokens = self._cut(text, limit)
        words = () if self._keywords is None or tokens.truncated else self._keywords.of(text)
        return self._enriched(text, words, limit) if words else tokens

    def tokenise_product(self, text: str) -> Tokens:
        """Returns the ids of a product's text, cut to the product tower's length."""
        return self._cut(text, self._spec.max_product_tokens)

    def _cut(self, text: str, limit: int) -> Tokens:
        ids = self._tokenizer.encode([text], limit + 1)[0]
        if len(ids) <= limit:
            return Tokens(ids, truncated=False)
        return Tokens(ids[: limit - 1] + ids[-1:], truncated=True)

    def _enriched(self, text: str, words: tuple[str, ...], limit: int) -> Tokens:
        """Appends keywords as in training: what does not fit is cut, even in a word; whole ones are named."""
        whole = self._cut(KeywordTable.enrich(text, words), limit)
        if not whole.truncated:
            return Tokens(whole.ids, truncated=False, keywords=words)
        ids = self._tokenizer.encode([KeywordTable.enrich(text, words)], limit)[0]
        read = len(words) - 1
        while read and self._cut(KeywordTable.enrich(text, words[:read]), limit).truncated:
            read -= 1
        return Tokens(ids, truncated=False, keywords=words[:read])

    async def encode_words(self, tokens: Tokens) -> Vector:
        """Returns the unit vector float32[dim] of a query, gathered with concurrent ones."""
        return await self.trust.guarded("query_tower", lambda: _from_triton(self._queries.submit(tokens.ids)))

    async def encode_picture(self, pixels: Pixels) -> Vector:
        """Returns the unit vector float32[dim] of a picture uint8[H,W,3]: a product without words."""
        return await self.encode_product(None, pixels)

    async def encode_product(self, tokens: Tokens | None, pixels: Pixels | None) -> Vector:
        """Returns the unit vector float32[dim] of a product of which text, a picture or both are known.

        Args:
            tokens: from ``tokenise_product``; None: no text.
            pixels: uint8[H,W,3]; None: no picture.
        """
        size = self._spec.picture_size
        views = np.zeros((self._spec.views, size, size, 3), dtype=np.uint8)
        has_image = np.zeros(self._spec.views, dtype=np.bool_)
        if pixels is not None:
            views[0], has_image[0] = pixels, True
        ids = self._empty_text if tokens is None else tokens.ids
        row = ProductRow(ids, has_text=tokens is not None, pixels=views, has_image=has_image)
        found = await self.trust.guarded("product_tower", lambda: _from_triton(self._products.submit(row)))
        return found.vector

    def product_row(self, text: str, pixels: Pixels, has_image: npt.NDArray[np.bool_]) -> ProductRow:
        """Returns the product tower's row for a text and pictures uint8[V,H,W,3] with flags bool[V]."""
        has_text = bool(text.strip())
        ids = (
            self._tokenizer.encode([text], self._spec.max_product_tokens)[0] if has_text else self._empty_text
        )
        return ProductRow(ids, has_text, pixels, has_image)

    async def probe(self, probe: ProbeInput) -> Vector:
        """Returns a tower's vector float32[dim] of a golden input; errors as ``TowerClient.run``."""
        if probe.tower == "query_tower":
            return (await self.query_vectors([list(probe.input_ids)]))[0]
        size, views = self._spec.picture_size, self._spec.views
        pixels = np.zeros((views, size, size, 3), dtype=np.uint8)
        has_image = np.zeros(views, dtype=np.bool_)
        if probe.picture == "ramp":
            pixels[0], has_image[0] = colour_ramp(size), True
        row = ProductRow(list(probe.input_ids), True, pixels, has_image)
        return (await self.product_embeddings([row]))[0].vector

    async def query_vectors(self, rows: Sequence[list[int]]) -> list[Vector]:
        """Embeds B tokenised queries in one call of Triton; errors as ``TowerClient.run``."""
        input_ids, attention_mask = self._spec.padded(rows, self._spec.max_query_tokens)
        outputs = await self._query_tower.run({"input_ids": input_ids, "attention_mask": attention_mask})
        return list(outputs["query_embedding"].astype(np.float32, copy=False))

    async def product_embeddings(self, rows: Sequence[ProductRow]) -> list[ProductEmbedding]:
        """Embeds B products in one call of Triton; errors as ``TowerClient.run``."""
        input_ids, attention_mask = self._spec.padded(
            [row.ids for row in rows], self._spec.max_product_tokens
        )
        outputs = await self._product_tower.run(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "pixels": np.stack([row.pixels for row in rows]),
                "has_text": np.array([[row.has_text] for row in rows]),
                "has_image": np.stack([row.has_image for row in rows]),
            }
        )
        vectors = outputs["product_embedding"].astype(np.float32, copy=False)
        weights = outputs["modality_weights"].astype(np.float32, copy=False)
        return [ProductEmbedding(vector, weight) for vector, weight in zip(vectors, weights, strict=True)]

    async def close(self) -> None:
        """Waits for the calls in flight."""
        await self._queries.close()
        await self._products.close()


async def _from_triton(answer: Awaitable[Answer]) -> Answer:
    """The time limit of a call of Triton is ours: a caller who has time left is told who was late."""
    try:
        return await answer
    except DeadlineExceeded as error:
        if deadline.at_most(_CLOCKS_DIFFER_S) < _CLOCKS_DIFFER_S:
            raise
        raise Unavailable(error.problem, field=error.field, fix="Try again.", retry_after_s=1.0) from error


def colour_ramp(size: int) -> Pixels:
    """Returns uint8[size,size,3]: red rises to the right, green downwards; equal on every machine."""
    ramp = (np.arange(size) * 255 // max(1, size - 1)).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], np.uint8(40)), axis=-1)


def _client_of(link: TritonLink, tower: str, version: int) -> TowerClient:
    outputs = ("query_embedding",) if tower == "query_tower" else ("product_embedding", "modality_weights")
    return TowerClient(link.client, link.url, tower, version, outputs, link.timeout_s, link.on_failure)
