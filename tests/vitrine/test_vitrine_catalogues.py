from pathlib import Path

import pytest
from support.tiny_shop import png

from catalog.catalogue import Catalogue
from catalog.held_out import is_held_out
from catalog.schema import Click, Picture, Product
from catalog.writers import write_catalogue
from faults import CatalogueError
from vitrine.catalogues import Split, clicks_of, decode, open_catalogue


def test_the_splits_part_the_catalogue_by_style(split_shop: Path) -> None:
    parts = {split: set(open_catalogue(split_shop, split).ids) for split in Split}
    assert parts[Split.TRAINING] | parts[Split.HELD_OUT] == parts[Split.ALL]
    assert not parts[Split.TRAINING] & parts[Split.HELD_OUT]
    assert (len(parts[Split.TRAINING]), len(parts[Split.HELD_OUT])) == (7, 3)
    held = {product.style_group for product in open_catalogue(split_shop, Split.HELD_OUT).products}
    assert all(is_held_out(style) for style in held)


def test_a_product_without_a_style_is_a_style_of_its_own(tmp_path: Path) -> None:
    products = [Product(f"p{number}", title="mug") for number in range(40)]
    write_catalogue(tmp_path, products, [])
    held = {product.product_id for product in products if is_held_out(product.product_id)}
    assert 0 < len(held) < 40
    assert set(open_catalogue(tmp_path, Split.HELD_OUT).ids) == held


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    style = next(name for name in (f"s{number}" for number in range(99)) if not is_held_out(name))
    write_catalogue(tmp_path, [Product("p", title="mug", style_group=style)], [])
    with pytest.raises(CatalogueError) as caught:
        open_catalogue(tmp_path, Split.HELD_OUT)
    assert (caught.value.field, caught.value.value) == ("--split", "held-out")


def test_a_log_of_the_whole_shop_is_cut_to_the_split(tmp_path: Path) -> None:
    products = [Product("mug", title="a mug"), Product("lamp", title="a lamp")]
    write_catalogue(tmp_path, products, [], clicks=[Click("x", "mug", 1, 2), Click("x", "lamp", 1, 2)])
    found = clicks_of(tmp_path, open_catalogue(tmp_path, Split.ALL).subset(["lamp"]), seed=0)
    assert [click.product_id for click in found] == ["lamp"]


def test_a_log_of_another_shop_is_refused(tmp_path: Path) -> None:
    write_catalogue(tmp_path, [Product("mug", title="a mug")], [], clicks=[Click("x", "ghost", 1, 2)])
    with pytest.raises(CatalogueError, match="ghost"):
        clicks_of(tmp_path, open_catalogue(tmp_path, Split.ALL), seed=0)


def test_without_a_log_one_is_simulated_for_the_split_alone(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "clicks.parquet").unlink()
    catalogue = open_catalogue(shop, Split.TRAINING)
    assert 0 < len(catalogue) < 12
    clicks = clicks_of(shop, catalogue, seed=0)
    assert clicks
    assert {click.product_id for click in clicks} <= set(catalogue.ids)
    assert "simulating" in capsys.readouterr().err


def bad_shop(folder: Path) -> Catalogue:
    pictures = [Picture("mug[red]", "main", b"no picture"), Picture("lamp", "main", png((9, 9, 9)))]
    write_catalogue(folder, [Product("mug[red]", title="a mug"), Product("lamp", title="a lamp")], pictures)
    return open_catalogue(folder, Split.ALL)


def test_bad_pictures_are_refused_unless_one_asks_to_skip_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = bad_shop(tmp_path)
    with pytest.raises(CatalogueError, match="1 pictures cannot be decoded"):
        decode(catalogue, 16, 1, skip_bad=False)
    capsys.readouterr()
    decoded = decode(catalogue, 16, 1, skip_bad=True)
    assert decoded.has_image.tolist() == [[False], [True]]
    said = " ".join(capsys.readouterr().err.split())
    assert "1 pictures skipped: mug[red]/main" in said
