"""Real releases of a shop of eight products, embedded by a fake Triton: for tests of the gateway's parts."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from support.fake_triton import FakeClient, FakeTriton

from catalog.catalogue import Catalogue
from catalog.keyword_table import KeywordTable
from catalog.pictures import PictureLimits, decode_catalogue
from catalog.preprocessing import preprocessing_hash
from catalog.readers import read_catalogue
from catalog.schema import Picture, Product
from catalog.tokenizer import Tokenizer, train_tokenizer
from catalog.writers import write_catalogue
from indexing.release_builder import ExportedTowers, build_release
from releases.export_record import ExportRecord
from releases.manifest import Manifest
from releases.store import ReleaseStore
from retrieval_gateway.encoding.encoder import Encoder, TritonLink
from retrieval_gateway.loaded_release import LoadedRelease, load_release

PICTURE_SIZE = 16
MAX_QUERY_TOKENS, MAX_PRODUCT_TOKENS = 6, 12

PRODUCTS = (
    Product("mug-red", "Red mug", "for tea", "Kitchen", "Kitchen > Mugs", "Luma", "red", 9.5, in_stock=True),
    Product(
        "mug-blue", "Blue mug", "for tea", "Kitchen", "Kitchen > Mugs", "Luma", "blue", 12.0, in_stock=False
    ),
    Product("mug-plain", "Plain mug", "", "Kitchen", "Kitchen > Mugs", "", "", None),
    Product(
        "plate", "White plate", "for cake", "Kitchen", "Kitchen > Plates", "Oak", "white", 20.0, in_stock=True
    ),
    Product("shoe-red", "Red shoe", "for running", "Shoes", "Shoes > Running", "Swift", "red", 80.0),
    Product("shoe-blue", "Blue shoe", "for running", "Shoes", "Shoes > Running", "Swift", "blue", 85.0),
    Product(
        "lamp", "Lamp", "for reading", "Home", "Home > Lamps", "Oak", "white", 35.0, "Orbis", "lamps", True
    ),
    Product("nameless", "", "", "Home", "", "", "green", 1.0),
)


def jpeg(colour: str, size: tuple[int, int] = (20, 20)) -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "JPEG")
    return stream.getvalue()


class SmallShop:
    """The catalogue, a tokenizer, a store, and the fake server that embeds."""

    def __init__(self, folder: Path) -> None:
        pictures = [
            Picture(product.product_id, "main", jpeg(product.color)) for product in PRODUCTS if product.color
        ]
        write_catalogue(folder / "shop", PRODUCTS, pictures)
        self.catalogue: Catalogue = read_catalogue(folder / "shop")
        texts = [product.indexed_text() for product in PRODUCTS]
        self.tokenizer: Tokenizer = train_tokenizer(texts, 300)
        self.store = ReleaseStore(folder / "releases")
        self.triton = FakeTriton(v1=(1, 8), v2=(2, 12))
        self.link = TritonLink(FakeClient(self.triton), "fake:8001")

    async def publish(self, version: int, keywords: KeywordTable | None = None) -> Manifest:
        """Publishes a release made of one version of the towers."""
        loaded = {model: set(versions) for model, versions in self.triton.loaded.items()}
        self.triton.load_everything()
        towers = ExportedTowers(
            self._record("query_tower", version),
            self._record("product_tower", version),
            self.tokenizer,
            keywords=keywords,
        )
        encoder = Encoder(self.link, towers.spec, self.tokenizer)
        pictures = decode_catalogue(self.catalogue, PICTURE_SIZE)
        manifest = await build_release(self.store, towers, encoder, self.catalogue, pictures, "tests")
        self.triton.loaded = loaded
        self.triton.calls.clear()
        return manifest

    def load(self, release_id: str, limits: PictureLimits | None = None) -> LoadedRelease:
        """Opens a release as the gateway does."""
        return load_release(self.store, release_id, self.link, limits or PictureLimits())

    def _record(self, model: str, version: int) -> ExportRecord:
        return ExportRecord(
            model=model,
            version=version,
            sha256="0" * 64,
            target="cpu",
            precision="fp32",
            runtime="fake",
            dim=self.triton.engines[version][1],
            picture_size=PICTURE_SIZE,
            views=1,
            max_query_tokens=MAX_QUERY_TOKENS,
            max_product_tokens=MAX_PRODUCT_TOKENS,
            tokenizer_sha256=self.tokenizer.sha256,
            preprocessing_hash=preprocessing_hash(PICTURE_SIZE, MAX_QUERY_TOKENS, MAX_PRODUCT_TOKENS, 1),
            gates=(),
            provenance={},
            command="tests",
        )
