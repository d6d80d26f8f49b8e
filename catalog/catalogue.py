"""A catalogue in memory: the products, and a way to their pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from catalog.complaints import refuse_if_any, repeats
from catalog.picture_stores import NoPictures, PictureStore
from catalog.schema import Picture, Product
from faults import NotFound

__all__ = ["Catalogue"]


class Catalogue:
    """Products with unique ids, and their pictures.

    Args:
        products: in the order that rows of vectors will have.
        pictures: where their pictures lie; none by default.
        source: the folder it was read from, for messages and manifests.

    Raises:
        CatalogueError: ids are empty or repeat.
    """

    def __init__(
        self, products: Sequence[Product], pictures: PictureStore | None = None, source: Path = Path()
    ) -> None:
        self.products: tuple[Product, ...] = tuple(products)
        self.source = source
        self._pictures: PictureStore = pictures or NoPictures()
        self._places = {product.product_id: place for place, product in enumerate(self.products)}
        _refuse_bad_ids(self.products, self._places, source)

    def __len__(self) -> int:
        return len(self.products)

    @property
    def ids(self) -> tuple[str, ...]:
        """The product ids, in the order of ``products``."""
        return tuple(self._places)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._places

    def get(self, product_id: str) -> Product:
        """Returns the product; raises NotFound."""
        return self.products[self.row(product_id)]

    def row(self, product_id: str) -> int:
        """Returns the product's place in ``products``; raises NotFound."""
        try:
            return self._places[product_id]
        except KeyError:
            raise NotFound(
                f"no such product among the {len(self)} of this catalogue.",
                field="product_id",
                value=product_id,
                fix="Take an id from the catalogue's products file.",
            ) from None

    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        """Returns the product's encoded pictures, the main one first (order of the file); raises NotFound."""
        self.row(product_id)
        return self._pictures.pictures(product_id)

    def subset(self, product_ids: Collection[str]) -> Catalogue:
        """Returns the named products in this catalogue's order, sharing its pictures; raises NotFound."""
        wanted = sorted({self.row(product_id) for product_id in product_ids})
        return Catalogue([self.products[row] for row in wanted], self._pictures, self.source)

    def fingerprint(self) -> str:
        """Returns a SHA-256 (hex) over all fields and pictures.

        Independent of the order of the products and of the file's form; the order of one
        product's pictures counts, since the first is the one that is embedded.
        """
        whole = hashlib.sha256(b"vitrine-catalogue-1")
        for digest in sorted(self._digest(product) for product in self.products):
            whole.update(digest)
        return whole.hexdigest()

    def _digest(self, product: Product) -> bytes:
        digest = hashlib.sha256(_canonical(product))
        for picture in self._pictures.pictures(product.product_id):
            digest.update(hashlib.sha256(picture.view.encode()).digest())
            digest.update(hashlib.sha256(picture.data).digest())
        return digest.digest()


def _canonical(product: Product) -> bytes:
    fields = {name: getattr(product, name) for name in Product.__dataclass_fields__}
    fields["attributes"] = dict(product.attributes)
    return json.dumps(fields, sort_keys=True, ensure_ascii=True, default=str).encode()


def _refuse_bad_ids(products: Sequence[Product], places: dict[str, int], source: Path) -> None:
    where = f"{source}: product_id"
    empty = [row for row, product in enumerate(products, start=1) if not product.product_id.strip()]
    refuse_if_any(empty, what="rows have no product_id", where=where, fix="Give every product an id.")
    if len(places) < len(products):
        refuse_if_any(
            repeats(product.product_id for product in products),
            what="product ids occur more than once",
            where=where,
            fix="Keep one row a product; further pictures go into images as further views.",
        )
