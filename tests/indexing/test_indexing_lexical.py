from pathlib import Path

import numpy as np

from catalog.catalogue import Catalogue
from catalog.schema import Product
from indexing.lexical import write_lexical
from retrieval_gateway.channels.analysis import RULES_VERSION, analyse
from retrieval_gateway.channels.lexical import LexicalIndex

PRODUCT = Product(
    "wj01-red",
    "Ophelia jacket",
    "Lightweight, for evening runs",
    category="Women",
    subcategory="Women > Tops",
    brand="Luma",
    color="crimson",
    price=49.0,
    supplier="Orbis",
    style_group="WJ01",
    attributes={"material": "cotton", "climate": ["windy"]},
)


def opened(folder: Path, *products: Product) -> LexicalIndex:
    return LexicalIndex.open(folder / write_lexical(folder, Catalogue(products)).folder)


def test_only_the_indexed_text_can_be_found(tmp_path: Path) -> None:
    index = opened(tmp_path, PRODUCT, Product("other"))
    for word in analyse(PRODUCT.indexed_text()):
        assert index.search(word, 5).rows.tolist() == [0]
    labels = ("wj01", "red", "women", "tops", "luma", "crimson", "49", "orbis", "cotton", "windy", "material")
    assert [label for label in labels if len(index.search(label, 5).rows)] == []


def test_rows_are_those_of_the_catalogue(tmp_path: Path) -> None:
    products = [Product(f"p{number}", title=f"mug number{number}") for number in range(300)]
    index = opened(tmp_path, *products)
    assert index.count == 300
    for number in (0, 7, 299):
        assert index.search(f"number{number}", 3).rows.tolist() == [number]
    np.testing.assert_array_equal(index.search("mug", 300).rows, np.arange(300))


def test_the_manifest_says_by_what_it_was_made(tmp_path: Path) -> None:
    part = write_lexical(tmp_path, Catalogue([PRODUCT]))
    assert (part.folder, part.rules_version) == ("lexical", RULES_VERSION)
    assert part.engine.startswith("tantivy ")
