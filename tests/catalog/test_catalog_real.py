"""The real catalogue, where it lies beside the repository."""

from pathlib import Path

import pytest

from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.held_out import is_held_out
from catalog.pictures import decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_judgements, read_queries

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "catalog"

pytestmark = pytest.mark.skipif(
    not (FOLDER / "products.parquet").is_file(), reason="../shared/data/catalog is not beside the repository"
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(FOLDER)


def test_it_is_read_whole(catalogue: Catalogue) -> None:
    assert len(catalogue) == 2424
    assert all(len(catalogue.pictures(product_id)) == 1 for product_id in catalogue.ids)
    assert sum(product.price is None for product in catalogue.products) == 1800
    assert read_clicks(FOLDER) is None


def test_its_judgements_belong_to_it(catalogue: Catalogue) -> None:
    queries = read_queries(FOLDER / "queries.csv")
    judgements = read_judgements(
        FOLDER / "qrels.csv", product_ids=catalogue, query_ids={query.query_id for query in queries}
    )
    assert len(queries) == 246
    held_out = {p.product_id for p in catalogue.products if is_held_out(p.style_group)}
    # 155 of the queries have a relevant product in the held-out part, by the data's README.
    assert len({one.query_id for one in judgements if one.product_id in held_out and one.grade > 0}) == 155


def test_every_picture_decodes(catalogue: Catalogue) -> None:
    few = catalogue.subset(catalogue.ids[::8])
    decoded = decode_catalogue(few, size=32)
    assert decoded.has_image.all()
    assert decoded.pixels.any(axis=(1, 2, 3, 4)).all()


def test_simulated_clicks_reach_every_product(catalogue: Catalogue) -> None:
    clicks = simulate_clicks(catalogue, 0)
    assert 14 <= len(clicks) / len(catalogue) <= 22
    assert {click.product_id for click in clicks} == set(catalogue.ids)
    colours = {"red", "blue", "green", "black", "purple", "orange", "gray", "yellow", "white"}
    luma = [click.query.split() for click in clicks if click.product_id.startswith("luma-m")]
    combined = [words for words in luma if len(words) > 1 and colours.intersection(words)]
    assert len(combined) > 0.2 * len(luma)
