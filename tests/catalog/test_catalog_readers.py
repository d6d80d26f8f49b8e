import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalog.catalogue import Catalogue
from catalog.readers import read_catalogue
from catalog.schema import Picture, Product
from catalog.writers import write_catalogue
from faults import CatalogueError, NotFound

FULL = Product(
    "p1", "Red mug", "A mug.", "Kitchen", "Kitchen > Mugs", "Havnby", "red", 9.5, "North", "s1", True,
    {"material": "clay", "tags": ["a", "b"], "n": 3},
)  # fmt: skip
BARE = Product("p2")
ODD = Product("p,3", 'Quote "x"\nline', "ünï ☃", price=0.0, in_stock=False)


def picture(colour: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, "JPEG")
    return stream.getvalue()


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_table(folder: Path, name: str = "products", **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    pictures = [Picture("p1", "main", picture()), Picture("p1", "back", picture("blue"))]
    write_catalogue(tmp_path / "new" / "shop", [FULL, BARE, ODD], pictures)
    catalogue = read_catalogue(tmp_path / "new" / "shop")
    assert catalogue.products == (FULL, BARE, ODD)
    assert catalogue.ids == ("p1", "p2", "p,3")
    assert catalogue.pictures("p1") == tuple(pictures)
    assert catalogue.pictures("p2") == ()
    assert catalogue.source == tmp_path / "new" / "shop"
    assert sorted(path.name for path in (tmp_path / "new" / "shop").iterdir()) == [
        "images.parquet", "products.parquet",
    ]  # fmt: skip


def test_optional_columns_may_be_absent_empty_large_or_null(tmp_path: Path) -> None:
    table = pa.table(
        {
            "product_id": pa.array(["a", "b"], pa.large_string()),
            "title": pa.array(["A", None], pa.large_string()),
            "brand": pa.array([None, None], pa.null()),
            "price": pa.array([float("nan"), 2], pa.float64()),
            "attributes": pa.array(["", '{"k": 1}'], pa.large_string()),
            "licence": pa.array(["x", "y"]),
        }
    )
    pq.write_table(table, tmp_path / "products.parquet")
    first, second = read_catalogue(tmp_path).products
    assert first == Product("a", "A")
    assert second == Product("b", "", price=2.0, attributes={"k": 1})


def test_numeric_ids_and_categorical_columns_are_read_as_text(tmp_path: Path) -> None:
    colors = pa.array(["red", "red"]).dictionary_encode()
    write_table(tmp_path, product_id=[1, 2], title=["A", "B"], color=colors)  # type: ignore[arg-type]
    assert [(p.product_id, p.color) for p in read_catalogue(tmp_path).products] == [
        ("1", "red"),
        ("2", "red"),
    ]


def test_csv_with_a_folder_of_pictures(tmp_path: Path) -> None:
    rows = [
        {
            "product_id": "a",
            "title": "A, with comma",
            "price": "3.5",
            "in_stock": "yes",
            "attributes": '{"k": "v"}',
        },
        {"product_id": "b__c", "title": "B", "price": "", "in_stock": "0", "attributes": ""},
        {"product_id": "d", "title": "D", "price": " nan ", "in_stock": "", "attributes": ""},
    ]
    write_csv(tmp_path / "products.csv", rows)
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "a__side.png", "a__back.webp", "b__c.JPEG", "notes.txt"):
        (images / name).write_bytes(name.encode())
    catalogue = read_catalogue(tmp_path)
    assert catalogue.get("a") == Product(
        "a", "A, with comma", price=3.5, in_stock=True, attributes={"k": "v"}
    )
    assert catalogue.get("b__c").in_stock is False
    assert catalogue.get("d").price is None
    assert [(p.view, p.data) for p in catalogue.pictures("a")] == [
        ("main", b"a.jpg"), ("back", b"a__back.webp"), ("side", b"a__side.png"),
    ]  # fmt: skip
    assert [p.data for p in catalogue.pictures("b__c")] == [b"b__c.JPEG"]
    assert catalogue.pictures("d") == ()


def test_a_csv_column_names_the_picture(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "products.csv",
        [{"product_id": "a", "title": "A", "image": "x.jpg"}, {"product_id": "b", "title": "B", "image": ""}],
    )
    (tmp_path / "images").mkdir()
    for name in ("x.jpg", "a__back.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(name.encode())
    catalogue = read_catalogue(tmp_path)
    assert [p.data for p in catalogue.pictures("a")] == [b"x.jpg", b"a__back.jpg"]
    assert [p.data for p in catalogue.pictures("b")] == [b"b.jpg"]


@pytest.mark.parametrize("name", ["missing.jpg", "../../outside.jpg", "/etc/hostname"])
def test_a_named_picture_must_lie_in_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"x")
    shop = tmp_path / "shop"
    shop.mkdir()
    write_csv(shop / "products.csv", [{"product_id": "a", "title": "A", "image": name}])
    with pytest.raises(CatalogueError, match="1 named pictures do not exist"):
        read_catalogue(shop)


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_bytes(b"\xef\xbb\xbfproduct_id,title\r\n\r\na,A\r\n")
    assert read_catalogue(tmp_path).products == (Product("a", "A"),)


def test_a_picture_file_that_vanished_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "products.csv", [{"product_id": "a", "title": "A"}])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"x")
    catalogue = read_catalogue(tmp_path)
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(CatalogueError, match=r"a\.jpg"):
        catalogue.pictures("a")


def test_null_pictures_are_no_pictures_and_views_may_be_absent(tmp_path: Path) -> None:
    write_table(tmp_path, product_id=["a", "b"], title=["A", "B"])
    write_table(tmp_path, "images", product_id=["a", "b"], jpeg=[None, b"x"])
    catalogue = read_catalogue(tmp_path)
    assert catalogue.pictures("a") == ()
    assert catalogue.pictures("b") == (Picture("b", "main", b"x"),)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sku": ["a"], "title": ["A"]}, "missing columns product_id; found sku, title"),
        ({"sku": ["a"]}, "missing columns product_id, title"),
        ({"product_id": ["a", "b", "a"], "title": ["A"] * 3}, "1 product ids occur more than once: 'a'"),
        ({"product_id": ["a", " ", None], "title": ["A"] * 3}, "2 rows have no product_id: 2, 3"),
        ({"product_id": ["a", "b"], "title": ["A"] * 2, "price": ["1", "cheap"]}, "price.* 1 products .*'b'"),
        ({"product_id": ["a"], "title": ["A"], "price": [-1.0]}, "price"),
        ({"product_id": ["a"], "title": ["A"], "price": [float("inf")]}, "price"),
        ({"product_id": ["a"], "title": ["A"], "in_stock": ["maybe"]}, "in_stock.* neither true nor false"),
        ({"product_id": ["a"], "title": ["A"], "attributes": ["{"]}, "attributes.* not a JSON object: 'a'"),
        ({"product_id": ["a"], "title": ["A"], "attributes": ["[1]"]}, "attributes"),
        ({"product_id": pa.array([], pa.string()), "title": pa.array([], pa.string())}, "no products"),
    ],
)
def test_wrong_products_are_refused(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(CatalogueError, match=message) as caught:
        read_catalogue(write_table(tmp_path, **columns))
    assert "Fix:" in str(caught.value)


def test_of_many_errors_five_are_shown(tmp_path: Path) -> None:
    ids = [f"p{n}" for n in range(60)]
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(write_table(tmp_path, product_id=ids, title=ids, attributes=["nope"] * 60))
    assert "60 products" in str(caught.value)
    assert "'p4', …" in str(caught.value)
    assert "p5" not in str(caught.value)


def test_pictures_of_unknown_products_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path, product_id=["a"], title=["A"])
    write_table(tmp_path, "images", product_id=["a", "x", "x"], view=["1", "2", "3"], jpeg=[b"1"] * 3)
    with pytest.raises(CatalogueError, match=r"1 product ids have pictures .*\(in 2 rows\): 'x'"):
        read_catalogue(tmp_path)


def test_picture_files_of_unknown_products_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "products.csv", [{"product_id": "a", "title": "A"}])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b__side.jpg").write_bytes(b"x")
    with pytest.raises(CatalogueError, match=r"1 pictures are named after no product: 'b__side\.jpg'"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("products.parquet", b"no parquet", "not a readable Parquet"),
        ("products.parquet", b"", "not a readable Parquet"),
        ("products.csv", b"product_id,title\na,\xff\n", "not a readable CSV"),
        ("products.csv", b'product_id,title\na,"open\n', "not a readable CSV"),
        ("products.csv", b"product_id,title\na,b,c\n", "1 rows do not have 2 fields"),
        ("products.csv", b"", "missing columns product_id, title; found none"),
        ("goods.csv", b"x", r"found goods\.csv"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CatalogueError, match=message):
        read_catalogue(tmp_path)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    write_catalogue(tmp_path, [FULL], [])
    path = tmp_path / "products.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CatalogueError, match="not a readable Parquet"):
        read_catalogue(tmp_path)


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no such folder"):
        read_catalogue(tmp_path / "nowhere")


def test_a_subset_keeps_the_order_and_the_pictures(tmp_path: Path) -> None:
    write_catalogue(tmp_path, [FULL, BARE, ODD], [Picture("p,3", "main", b"x")])
    subset = read_catalogue(tmp_path).subset(["p,3", "p1", "p,3"])
    assert subset.ids == ("p1", "p,3")
    assert len(subset) == 2
    assert subset.pictures("p,3")[0].data == b"x"
    assert "p2" not in subset
    for ask in (subset.get, subset.pictures, lambda name: subset.subset([name])):
        with pytest.raises(NotFound, match="p2"):
            ask("p2")


def test_the_fingerprint_covers_every_field_and_picture_but_not_the_order(tmp_path: Path) -> None:
    def fingerprint(products: list[Product], pictures: list[Picture]) -> str:
        write_catalogue(tmp_path, products, pictures)
        return read_catalogue(tmp_path).fingerprint()

    one, two = Picture("p1", "main", b"1"), Picture("p1", "back", b"2")
    base = fingerprint([FULL, BARE], [one, two])
    assert fingerprint([BARE, FULL], [one, two]) == base
    fields = {name: getattr(FULL, name) for name in Product.__dataclass_fields__}
    changed = [
        fingerprint([Product(**fields | {name: value}), BARE], [one, two] if name != "product_id" else [])
        for name, value in {
            **{name: "other" for name, value in fields.items() if isinstance(value, str)},
            "price": 9.51, "in_stock": None, "attributes": {"material": "clay"},
        }.items()
    ]  # fmt: skip
    changed += [
        fingerprint([FULL], [one, two]),
        fingerprint([FULL, BARE], [one]),
        fingerprint([FULL, BARE], [two, one]),
        fingerprint([FULL, BARE], [one, Picture("p1", "back", b"3")]),
    ]
    assert len({base, *changed}) == len(changed) + 1


def test_duplicate_ids_are_refused_in_memory_as_well() -> None:
    with pytest.raises(CatalogueError, match="more than once"):
        Catalogue([BARE, BARE])


def test_only_title_and_description_are_indexed() -> None:
    assert FULL.indexed_text() == "Red mug. A mug."
    assert Product("x", "T").indexed_text() == "T"
    assert Product("x", description="D").indexed_text() == "D"
    assert BARE.indexed_text() == ""


def test_writing_is_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_catalogue(tmp_path / name, [FULL, ODD], [Picture("p1", "main", b"x")])
    for file in ("products.parquet", "images.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_attributes_are_stored_as_json(tmp_path: Path) -> None:
    write_catalogue(tmp_path, [FULL], [])
    stored = pq.read_table(tmp_path / "products.parquet").column("attributes")[0].as_py()
    assert json.loads(stored) == FULL.attributes
