"""A folder to a catalogue: the Parquet form, or CSV with a folder of pictures.

The forms are DESIGN.md's contract. Whatever does not fit is refused here, once, with the
column, the number of rows and a few of their ids, so that nothing further down needs to
doubt what it gets.
"""

from __future__ import annotations

from pathlib import Path

from catalog.catalogue import Catalogue
from catalog.complaints import complaint, refuse_unknown
from catalog.fields import attributes_of, convert, flag_of, price_of, text_of
from catalog.logs import read_clicks, read_coclicks, read_judgements, read_queries, read_query_log
from catalog.picture_files import find_picture_files
from catalog.picture_stores import ArrowPictures, FilePictures, NoPictures, PictureStore
from catalog.schema import Product
from catalog.tables import Columns, first_existing, read_columns, read_parquet_table

__all__ = [
    "read_catalogue",
    "read_clicks",
    "read_coclicks",
    "read_judgements",
    "read_queries",
    "read_query_log",
]

_REQUIRED = ("product_id", "title")
_TEXTS = ("description", "category", "subcategory", "brand", "color", "supplier", "style_group")
_OPTIONAL = (*_TEXTS, "price", "in_stock", "attributes")
_PICTURE_COLUMN = "image"


def read_catalogue(folder: Path) -> Catalogue:
    """Reads ``products.parquet`` + ``images.parquet``, or ``products.csv`` + ``images/``.

    Pictures are not decoded here: ``catalog.pictures.decode_catalogue`` does that.

    Raises:
        CatalogueError: the folder or the file is absent or unreadable; columns are missing; ids
            are empty or repeat; prices, stock flags or attributes are malformed; pictures belong
            to products that do not exist; there are no products.
    """
    folder = Path(folder)
    path = _products_file(folder)
    columns = read_columns(path, _REQUIRED, (*_OPTIONAL, _PICTURE_COLUMN))
    products = _products(columns, str(path))
    if not products:
        raise complaint("there are no products.", where=str(path), fix="Give at least one row.")
    known = Catalogue(products, source=folder)  # checks the ids before the pictures refer to them
    if path.suffix == ".parquet":
        store = _parquet_pictures(folder, known)
    else:
        named = [text_of(cell) for cell in columns.get(_PICTURE_COLUMN, [])]
        store = FilePictures(find_picture_files(folder, known, named))
    return Catalogue(products, store, folder)


def _products_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise complaint(
            "there is no such folder.", where="catalogue", value=str(folder), fix="Name an existing folder."
        )
    path = first_existing(folder, "products.parquet", "products.csv")
    if path is None:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
        raise complaint(
            f"neither products.parquet nor products.csv lies there; found {found}.",
            where="catalogue",
            value=str(folder),
            fix="Name the folder that holds one of them.",
        )
    return path


def _products(columns: Columns, where: str) -> list[Product]:
    rows = len(columns["product_id"])
    ids = [text_of(cell) for cell in columns["product_id"]]
    texts = {
        name: [text_of(cell) for cell in columns[name]] for name in ("title", *_TEXTS) if name in columns
    }
    absent: list[object] = [None] * rows
    prices = convert(
        columns.get("price", absent),
        price_of,
        row_names=ids,
        what="products have a price that is not a number of at least 0",
        where=f"{where}: price",
        fix="Write prices as plain numbers (19.90); leave unknown ones empty.",
    )
    stock = convert(
        columns.get("in_stock", absent),
        flag_of,
        row_names=ids,
        what="products have an in_stock that is neither true nor false",
        where=f"{where}: in_stock",
        fix="Write true or false; leave it empty where unknown.",
    )
    attributes = convert(
        columns.get("attributes", absent),
        attributes_of,
        row_names=ids,
        what="products have attributes that are not a JSON object",
        where=f"{where}: attributes",
        fix='Write them like {"material": "wool"}; leave the cell empty where there are none.',
    )
    return [
        Product(
            product_id=ids[row],
            price=prices[row],
            in_stock=stock[row],
            attributes=attributes[row],
            **{name: values[row] for name, values in texts.items()},
        )
        for row in range(rows)
    ]


def _parquet_pictures(folder: Path, known: Catalogue) -> PictureStore:
    path = folder / "images.parquet"
    if not path.is_file():
        return NoPictures()
    table = read_parquet_table(path, ("product_id", "jpeg"), ("view",))
    product_ids = [text_of(cell) for cell in table.column("product_id").to_pylist()]
    refuse_unknown(
        product_ids,
        known,
        what="product ids have pictures but are not in the products file",
        where=f"{path}: product_id",
        fix="Remove these pictures, or add the products.",
    )
    if "view" in table.column_names:
        views = [text_of(cell) or "main" for cell in table.column("view").to_pylist()]
    else:
        views = ["main"] * len(product_ids)
    return ArrowPictures(product_ids, views, table.column("jpeg"))
