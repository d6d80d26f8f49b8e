"""Releases made of vectors and texts that a test chooses, without towers, Triton or a store."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.fake_lexical import FakeLexical

from catalog.pictures import PictureLimits
from faults import Unavailable
from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from retrieval_gateway.cache import MemoryTier, ResponseCache, TallyCounters
from retrieval_gateway.channels.merging import MergePlan
from retrieval_gateway.encoding.rows import Pixels, Tokens, Vector
from retrieval_gateway.index.exact_index import ExactIndex
from retrieval_gateway.index.filter_masks import FilterMasks
from retrieval_gateway.index.filters import Filter
from retrieval_gateway.index.product_table import ProductTable, write_product_table
from retrieval_gateway.index.types import Neighbours
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.query import SearchQuery, SimilarQuery, Subject
from retrieval_gateway.searcher import Searcher
from retrieval_gateway.workers import Decode

DIM = 8
SIZE = 4
RELEASE = "20261120T101500Z-3f9a1c"
PLAN = MergePlan("reciprocal_rank", dense_weight=1.0, lexical_weight=1.0)


def unit_vectors(count: int, seed: int = 0, dim: int = DIM) -> Vector:
    """Unit vectors in all directions."""
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    unit: Vector = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


class MadeEncoder:
    """Gives each text and picture the vector that the test chose; stands for ``encoding.encoder.Encoder``.

    Attributes:
        vectors: by text for the query tower; by text, "picture" or "<text>+picture" for the product tower.
        keywords: what the query tower reads beside every query.
        away: no tower answers.
        calls: what was embedded.
    """

    LONGEST = 40

    def __init__(self, vectors: Mapping[str, Vector]) -> None:
        self.vectors = dict(vectors)
        self.keywords: tuple[str, ...] = ()
        self.away = False
        self.calls: list[str] = []

    def tokenise(self, text: str) -> Tokens:
        return Tokens([ord(letter) for letter in text], len(text) > self.LONGEST, self.keywords)

    def tokenise_product(self, text: str) -> Tokens:
        return Tokens([ord(letter) for letter in text], len(text) > self.LONGEST)

    async def encode_words(self, tokens: Tokens) -> Vector:
        return await self._vector(_text(tokens))

    async def encode_picture(self, pixels: Pixels) -> Vector:
        return await self.encode_product(None, pixels)

    async def encode_product(self, tokens: Tokens | None, pixels: Pixels | None) -> Vector:
        halves = [] if tokens is None else [_text(tokens)]
        return await self._vector("+".join([*halves, *([] if pixels is None else ["picture"])]))

    async def _vector(self, name: str) -> Vector:
        await asyncio.sleep(0)
        self.calls.append(name)
        if self.away:
            raise Unavailable("no tower answers", field="triton", retry_after_s=1.0)
        return self.vectors[name]


def _text(tokens: Tokens) -> str:
    return "".join(map(chr, tokens.ids))


class WatchedIndex(ExactIndex):
    """Says how deep it was asked, and may break down.

    Args:
        vectors: float32[N,dim].
        kind: any name; only ``exact`` and ``flat`` are taken for exact.
    """

    def __init__(self, vectors: Vector, kind: str = "exact") -> None:
        super().__init__(vectors)
        self.kind = kind  # type: ignore[misc]
        self.depths: list[int] = []
        self.broken: Exception | None = None
        self.on_cpu = False

    def search(self, queries: Vector, k: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        self.depths.append(k)
        if self.broken is not None:
            raise self.broken
        return dataclasses.replace(super().search(queries, k, allowed), on_cpu=self.on_cpu)


def made_release(
    folder: Path,
    vectors: Vector,
    columns: Mapping[str, Sequence[Any]],
    encoder: MadeEncoder | None = None,
    kind: str = "exact",
    **fields: Any,
) -> LoadedRelease:
    """Returns a release of N products with ids p0, p1, ...

    Args:
        folder: for the product table.
        vectors: float32[N,dim].
        columns: of the product table; ``title`` is the full text, where there is one.
        encoder: of the queries.
        kind: what the index calls itself.
        fields: of ``LoadedRelease``, instead of what stands here; ``same_style``: thresholds by view.
    """
    count, dim = vectors.shape
    same_style = fields.pop("same_style", {})
    halves = dict.fromkeys(("text_weight", "image_weight"), [0.5] * count)
    ids = [f"p{row}" for row in range(count)]
    write_product_table(folder / "products.arrow", {"product_id": ids, **halves, **columns})
    table = ProductTable(folder / "products.arrow")
    given: dict[str, Any] = {
        "manifest": SimpleNamespace(
            release_id=RELEASE,
            dim=dim,
            picture_size=SIZE,
            same_style_threshold=same_style.get("both"),
            same_style={view: SimpleNamespace(threshold=one) for view, one in same_style.items()},
        ),
        "encoder": encoder or MadeEncoder({}),
        "index": WatchedIndex(vectors, kind),
        "table": table,
        "masks": FilterMasks(table),
        "vectors": vectors,
        "picture_limits": PictureLimits(),
        "lexical": FakeLexical(columns["title"]) if "title" in columns else None,
        "merge_plan": PLAN,
    }
    return LoadedRelease(**{**given, **fields})


class Searching:
    """A searcher on one release, with what it needs; closes when the block ends.

    Attributes:
        seen: what the searcher told of its channels: (reason, failed).
    """

    def __init__(self, release: LoadedRelease, decode: Decode | None = None) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.release = release
        self.metrics = Metrics()
        self.memory = MemoryTier(10**7)
        self._executor = ThreadPoolExecutor(2)
        cache = ResponseCache(self.memory, None, TallyCounters())
        self.searcher = Searcher(
            self,  # type: ignore[arg-type]
            cache,
            self._executor,
            self.metrics,
            decode=decode,
            saw=lambda reason, *, failed: self.seen.append((reason, failed)),
        )

    def __enter__(self) -> Searching:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()

    @contextlib.contextmanager
    def current(self) -> Iterator[LoadedRelease]:
        """As a follower that follows nothing."""
        yield self.release

    async def search(self, subject: Subject, k: int = 10, **fields: Any) -> pb.SearchResponse:
        query = SearchQuery(subject, k, **{"filter": Filter(), "fields": (), **fields})
        return pb.SearchResponse.FromString(await self.searcher.search(query))

    async def similar(self, subject: Any, k: int = 10, **fields: Any) -> pb.SearchSimilarResponse:
        query = SimilarQuery(subject, k, **{"filter": Filter(), "fields": (), **fields})
        return pb.SearchSimilarResponse.FromString(await self.searcher.similar(query))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0
