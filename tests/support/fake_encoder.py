"""An encoder without Triton: vectors that a text and a picture decide, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from support.exported_pairs import DIM, write_pair

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.tokenizer import Tokenizer
from indexing.release_builder import build_release, newest_towers
from releases.manifest import Manifest, Probe
from releases.store import ReleaseStore
from retrieval_gateway.encoding.encoder import ProductEmbedding, ProductRow


def vector_of(seed: bytes) -> npt.NDArray[np.float32]:
    """The unit vector that belongs to some bytes."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(seed).digest()[:8], "big"))
    vector = random.standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def seed_of(row: ProductRow) -> bytes:
    return repr((row.ids, row.has_text, row.has_image.tolist())).encode() + row.pixels.tobytes()


class FakeEncoder:
    """What indexing asks of ``retrieval_gateway.encoding.encoder.Encoder``.

    Args:
        tokenizer: of the towers.
        first_is_slow: lets the first call finish after the second, as calls in flight may.
        error: raised by the call that holds the product whose ids are ``bad_ids``.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, first_is_slow: bool = False, error: Exception | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._first_is_slow = first_is_slow
        self._error = error
        self.batches: list[int] = []
        self.in_flight = self.most_in_flight = 0

    def product_row(
        self, text: str, pixels: npt.NDArray[np.uint8], has_image: npt.NDArray[np.bool_]
    ) -> ProductRow:
        return ProductRow(self._tokenizer.encode([text], 10)[0], bool(text.strip()), pixels, has_image)

    async def product_embeddings(self, rows: Sequence[ProductRow]) -> list[ProductEmbedding]:
        self.batches.append(len(rows))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        slow = self._first_is_slow and len(self.batches) == 1
        for _ in range(20 if slow else 1):
            await asyncio.sleep(0)
        self.in_flight -= 1
        if self._error is not None:
            raise self._error
        return [ProductEmbedding(vector_of(seed_of(row)), weights_of(row)) for row in rows]

    async def probe(self, probe: Probe) -> npt.NDArray[np.float32]:
        return vector_of(repr((probe.tower, probe.picture, probe.input_ids)).encode())


def weights_of(row: ProductRow) -> npt.NDArray[np.float32]:
    """Text and picture weights that differ from product to product."""
    share = np.float32((sum(row.ids) % 7 + 1) / 8)
    return np.array([share, 1 - share], dtype=np.float32)


async def publish_tiny_release(folder: Path, catalogue: Catalogue, pictures: DecodedPictures) -> Manifest:
    """Publishes a release of ``catalogue`` in ``folder/store`` from towers in ``folder/repository``."""
    if not (folder / "repository").exists():
        write_pair(folder / "repository")
    towers = newest_towers(folder / "repository")
    encoder = FakeEncoder(towers.tokenizer)
    store = ReleaseStore(folder / "store")
    return await build_release(store, towers, encoder, catalogue, pictures, "vitrine index --catalog tiny")  # type: ignore[arg-type]
