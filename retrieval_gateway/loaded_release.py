"""One release in memory: everything a search needs, from one manifest, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalog.keyword_table import KeywordTable
from catalog.pictures import PictureLimits
from catalog.preprocessing import preprocessing_hash
from catalog.tokenizer import Tokenizer
from releases.manifest import HalfName, Manifest, require_equal
from releases.store import ReleaseStore
from retrieval_gateway.channels.analysis import RULES_VERSION
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.merging import DEFAULT_PLAN, MergePlan
from retrieval_gateway.encoding.encoder import Encoder, EncoderSpec, TritonLink, Vector
from retrieval_gateway.index.devices import IndexDevice, open_index
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
    views: Mapping[HalfName, Vector] = field(default_factory=dict)
    """By half, float32[N,dim], memory-mapped: a product's text or pictures alone; zeros where it has none."""
    lexical: LexicalIndex | None = None
    """Full text, row by row as the index; None: the release was made before there was one."""
    merge_plan: MergePlan = DEFAULT_PLAN
    """How the release merges its channels, unless a request says otherwise."""

    @property
    def release_id(self) -> str:
        """The release's id."""
        return self.manifest.release_id

    @property
    def same_style_threshold(self) -> float | None:
        """Cosine of whole products from which on they are the same style; None: not calibrated."""
        return self.manifest.same_style_threshold

    def same_style_threshold_of(self, half: HalfName | None) -> float | None:
        """The threshold of vectors of one half; None is the whole product."""
        if half is None:
            return self.same_style_threshold
        part = self.manifest.same_style.get(half)
        return None if part is None else part.threshold


def load_release(
    store: ReleaseStore,
    release_id: str,
    link: TritonLink,
    picture_limits: PictureLimits,
    device: IndexDevice = "cpu",
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
    index = open_index(folder / manifest.index.file, vectors, spec, device)
    _check(manifest, tokenizer, vectors.shape, len(table), index)
    words = manifest.keyword_table
    keywords = None if words is None else KeywordTable.from_json((folder / words).read_bytes())
    encoder = Encoder(link, EncoderSpec.of(manifest), tokenizer, keywords)
    views = {half: open_vectors(folder / name) for half, name in manifest.view_vectors.items()}
    for half, of_half in views.items():
        require_equal(
            f"shape of the {half} vectors", expected=vectors.shape, found=of_half.shape, fix=_MAKE_IT_HERE
        )
    return LoadedRelease(
        manifest,
        encoder,
        index,
        table,
        FilterMasks(table),
        vectors,
        picture_limits,
        views,
        _open_lexical(manifest, folder),
        _plan_of(manifest),
    )


def _open_lexical(manifest: Manifest, folder: Path) -> LexicalIndex | None:
    part = manifest.lexical
    if part is None:
        return None
    what = "rules of the full-text index"
    require_equal(what, expected=part.rules_version, found=RULES_VERSION, fix=_MAKE_IT_HERE)
    lexical = LexicalIndex.open(folder / part.folder)
    what = "products in the full-text index"
    require_equal(what, expected=manifest.index.count, found=lexical.count, fix=_MAKE_IT_HERE)
    return lexical


def _plan_of(manifest: Manifest) -> MergePlan:
    part = manifest.merge
    return DEFAULT_PLAN if part is None else MergePlan(part.method, part.dense_weight, part.lexical_weight)


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
