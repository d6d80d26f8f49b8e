"""A gateway's client without a gateway: it answers from a list and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from catalog.catalogue import Catalogue
from retrieval_gateway.api.generated import release_service_pb2, retrieval_service_pb2
from retrieval_gateway.client import Release, SearchReply, SimilarReply, SimilarRequest

Reply = retrieval_service_pb2.SearchResponse


def reply_of(hits: Sequence[tuple[str, float]], **fields: Any) -> Reply:
    """A reply with these hits; half of each product's vector comes from its text."""
    weights = [0.5] * len(hits)
    given = {
        "product_ids": [product_id for product_id, _ in hits],
        "scores": [score for _, score in hits],
        "text_weights": weights,
        "image_weights": weights,
        "release_id": "20261120T101500Z-3f9a1c",
        "cache_source": retrieval_service_pb2.CACHE_SOURCE_COMPUTED,
    }
    return Reply(**{**given, **fields})


class FakeGateway:
    """Stands for ``retrieval_gateway.client.RetrievalClient``; called like the class, it returns itself.

    Args:
        hits: by query, what is found; nothing for others.
        indexed: what the serving release was made of; None: no release serves.
    """

    def __init__(
        self, hits: dict[str, list[tuple[str, float]]] | None = None, indexed: Catalogue | None = None
    ) -> None:
        self.hits = hits or {}
        self.indexed = indexed
        self.address = ""
        self.asked: list[dict[str, Any]] = []
        self.closed = False
        self.reply: Reply | None = None
        self.similar_asked: list[SimilarRequest] = []
        self.similar_reply = retrieval_service_pb2.SearchSimilarResponse()
        self._lock = threading.Lock()

    def __call__(self, address: str, timeout_s: float = 5.0) -> FakeGateway:
        assert timeout_s > 0
        self.address = address
        return self

    def __enter__(self) -> FakeGateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def search(self, text: str = "", **options: Any) -> SearchReply:
        with self._lock:
            self.asked.append({"text": text, **options})
        return SearchReply(self.reply or reply_of(self.hits.get(text, [])))

    def search_similar(self, request: SimilarRequest) -> SimilarReply:
        self.similar_asked.append(request)
        return SimilarReply(self.similar_reply)

    def releases(self) -> list[Release]:
        old = release_service_pb2.Release(release_id="20260101T000000Z-000000", products=99)
        if self.indexed is None:
            return [Release.of(old)]
        serving = release_service_pb2.Release(
            release_id="20261120T101500Z-3f9a1c",
            products=len(self.indexed),
            catalogue_fingerprint=self.indexed.fingerprint(),
            serving=True,
            active=True,
        )
        return [Release.of(serving), Release.of(old)]
