"""One release in memory: everything a search needs, from one manifest, nothing from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catalog.keyword_table import KeywordTable
from catalog.pictures import PictureLimits
from catalog.preprocessing import preprocessing_hash
from catalog.tokenizer import Tokenizer
from faults import Mismatch
from releases.manifest import Manifest, require_equal
from releases.store import ReleaseStore
from retrieval_gateway.encoding.encoder import Encoder, EncoderSpec, TritonLink, Vector
from retrieval_gateway.index.builder import load_index
from retrieval_gateway.index.filter_masks import FilterMasks
from retrieval_gateway.index.product_table import ProductTable
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import VectorIndex
from retrieval_gateway.index.vectors import open_vectors

TOKENIZER_FILE = "tokenizer.json"
INDEX_FILE = "index.faiss"
PRODUCTS_FILE = "products.arrow"
VECTORS_FILE = "vectors.npy"

_MAKE_IT_HERE = "Serve it with the Vitrine that made it, or make the release again with `vitrine index`."


@dataclass(frozen=True)
class LoadedRelease:
    """A release that is ready to answer, apart from Triton's models."""

    manifest: Manifest
    encoder: Encoder
    index: VectorIndex
    table: ProductTable
    masks: FilterMasks
    vectors: Vector
    """float32[N,dim], memory-mapped: the stored vectors, row by row as the index."""
    picture_limits: PictureLimits

    @property
    def release_id(self) -> str:
        """The release's id."""
        return self.manifest.release_id


def load_release(
    store: ReleaseStore, release_id: str, link: TritonLink, picture_limits: PictureLimits
) -> LoadedRelease:
    """Opens a release's files and checks that they agree with each other and with this code.

    Raises:
        NotFound: the store has no such release.
        Mismatch: two parts do not agree; both values are named.
    """
    manifest = store.verify(release_id)
    folder = store.path(release_id)
    tokenizer = Tokenizer.from_file(folder / TOKENIZER_FILE)
    vectors = open_vectors(folder / VECTORS_FILE)
    table = ProductTable(folder / PRODUCTS_FILE)
    spec = IndexSpec.from_manifest(manifest.index.kind, manifest.index.parameters)
    index = load_index(folder / manifest.index.file, vectors, spec)
    _check(manifest, tokenizer, vectors.shape, len(table), index)
    words = manifest.keyword_table
    keywords = None if words is None else KeywordTable.from_json((folder / words).read_bytes())
    encoder = Encoder(link, EncoderSpec.of(manifest), tokenizer, keywords)
    return LoadedRelease(manifest, encoder, index, table, FilterMasks(table), vectors, picture_limits)


def _check(
    manifest: Manifest, tokenizer: Tokenizer, vectors: tuple[int, ...], products: int, index: VectorIndex
) -> None:
    here = preprocessing_hash(
        manifest.picture_size,
        manifest.tokenizer.max_query_tokens,
        manifest.tokenizer.max_product_tokens,
        manifest.views,
    )
    for what, expected, found in (
        ("preprocessing hash", manifest.preprocessing_hash, here),
        ("tokenizer sha256", manifest.tokenizer.sha256, tokenizer.sha256),
        ("vectors' shape", (manifest.index.count, manifest.dim), tuple(vectors)),
        ("products in the table", manifest.index.count, products),
        ("vectors in the index", manifest.index.count, index.count),
        ("index dimension", manifest.dim, index.dim),
    ):
        require_equal(what, expected=expected, found=found, fix=_MAKE_IT_HERE)


async def check_probes(release: LoadedRelease) -> None:
    """Recomputes the release's golden inputs through Triton.

    This notices an engine that is not the release's on any target and any host: model
    files may be where the gateway cannot read them.

    Raises:
        Mismatch: Triton's vector is not the release's.
        Unavailable: Triton does not answer.
    """
    for probe in release.manifest.probes:
        found = await release.encoder.probe(probe)
        expected = np.asarray(probe.expected, dtype=np.float32)
        alike = found.shape == expected.shape
        cosine = float(found @ expected) if alike else 0.0
        if not cosine >= probe.minimum_cosine:
            part = release.manifest.towers[probe.tower]
            mismatch = Mismatch(
                f"vector of the probe of {part.model} version {part.version}",
                expected=f"cosine of at least {probe.minimum_cosine} to release {release.release_id}",
                found=f"cosine {cosine:.6f}" if alike else f"{found.size} numbers",
                fix="Triton runs another engine under that version: put the release's model back into "
                "the model repository, or make a new release with `vitrine index`.",
            )
            release.encoder.distrust(mismatch)
            raise mismatch
    release.encoder.distrust(None)
