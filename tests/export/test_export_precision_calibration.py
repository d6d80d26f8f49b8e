"""The rows that eight-bit ranges are taken from: which, how many, and never padded."""

import dataclasses

import numpy as np
import pytest
from support.precision_graphs import QUERIES, pictured_shop, tiny_feeds
from support.tiny_shop import COLOURS, tiny_catalogue

from catalog.catalogue import Catalogue
from catalog.held_out import is_held_out_product
from catalog.tokenizer import Tokenizer
from export.gate.engine import Feed
from export.onnx_export import TowerGraph
from export.precision import calibration
from export.precision.calibration import calibration_feeds
from towers.checkpoint import Checkpoint
from towers.recipe import Recipe


@pytest.fixture(scope="module")
def shop() -> Catalogue:
    return pictured_shop()


def texts_of(feeds: list[Feed]) -> set[tuple[int, ...]]:
    return {tuple(row.tolist()) for feed in feeds for row in feed["input_ids"]}


def ids_of(checkpoint: Checkpoint, graph: TowerGraph, texts: list[str]) -> set[tuple[int, ...]]:
    return {tuple(ids) for ids in checkpoint.towers.tokenizer.encode(texts, graph.limits["max_tokens"])}


def test_the_same_arguments_give_the_same_feeds(
    product_graph: TowerGraph, checkpoint: Checkpoint, shop: Catalogue
) -> None:
    one, two = (tiny_feeds(product_graph, checkpoint, shop) for _ in range(2))
    assert len(one) == len(two) > 0
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys() == set(product_graph.inputs)
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_order_of_products_and_queries_does_not_matter(
    query_graph: TowerGraph, checkpoint: Checkpoint
) -> None:
    turned = Catalogue(tiny_catalogue().products[::-1])
    tokenizer, recipe = checkpoint.towers.tokenizer, checkpoint.recipe
    feeds = calibration_feeds(query_graph, tokenizer, recipe, turned, [*QUERIES[::-1], *QUERIES])
    assert texts_of(feeds) == texts_of(tiny_feeds(query_graph, checkpoint))


def test_no_row_is_padded_and_batches_are_small(
    query_graph: TowerGraph, product_graph: TowerGraph, checkpoint: Checkpoint, shop: Catalogue
) -> None:
    for graph in (query_graph, product_graph):
        feeds = tiny_feeds(graph, checkpoint, shop)
        assert all(feed["attention_mask"].all() for feed in feeds)
        assert all(1 <= len(feed["input_ids"]) <= 16 for feed in feeds)
        assert len({feed["input_ids"].shape[1] for feed in feeds}) > 1


def test_texts_of_every_kind_are_among_them(query_graph: TowerGraph, checkpoint: Checkpoint) -> None:
    found = texts_of(tiny_feeds(query_graph, checkpoint))
    assert ids_of(checkpoint, query_graph, ["", *QUERIES]) <= found
    titles = {product.title for product in tiny_catalogue().products if not is_held_out_product(product)}
    assert ids_of(checkpoint, query_graph, sorted(titles)) <= found


def test_only_products_of_the_training_are_taken(
    product_graph: TowerGraph, checkpoint: Checkpoint, shop: Catalogue
) -> None:
    held_out = {product.title for product in shop.products if is_held_out_product(product)}
    assert 0 < len(held_out) < 3
    found = texts_of(calibration_feeds(product_graph, *parts(checkpoint), shop, []))
    assert ids_of(checkpoint, product_graph, sorted(held_out)).isdisjoint(found)


def test_a_shop_that_is_held_out_as_a_whole_is_calibrated_on_itself(
    product_graph: TowerGraph, checkpoint: Checkpoint, shop: Catalogue
) -> None:
    held_out = shop.subset([product.product_id for product in shop.products if is_held_out_product(product)])
    feeds = calibration_feeds(product_graph, *parts(checkpoint), held_out, [])
    assert sum(int(feed["has_image"].sum()) for feed in feeds) == len(held_out)


def test_products_come_with_their_pictures_and_texts_without(
    product_graph: TowerGraph, checkpoint: Checkpoint, shop: Catalogue
) -> None:
    feeds = tiny_feeds(product_graph, checkpoint, shop)
    shown = [feed["pixels"][row] for feed in feeds for row in np.flatnonzero(feed["has_image"][:, 0])]
    hidden = [feed["pixels"][row] for feed in feeds for row in np.flatnonzero(~feed["has_image"][:, 0])]
    assert all(pixels.any() for pixels in shown)
    assert not any(pixels.any() for pixels in hidden)
    assert (len(shown) > 0, len(hidden) > len(QUERIES)) == (True, True)


def test_the_numbers_are_bounded(
    product_graph: TowerGraph, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MOST_PRODUCTS", 3)
    monkeypatch.setattr(calibration, "MOST_TEXTS", 8)
    product = next(product for product in tiny_catalogue().products if not is_held_out_product(product))
    titles = [f"{colour} {thing}" for colour in COLOURS for thing in ("mug", "lamp", "chair", "white", "of")]
    many = Catalogue(
        [
            dataclasses.replace(product, product_id=str(place), title=title)
            for place, title in enumerate(titles)
        ]
    )
    feeds = calibration_feeds(product_graph, *parts(checkpoint), many, titles)
    assert sum(len(feed["input_ids"]) for feed in feeds) == 3 + 1 + 4 + 3
    others = calibration_feeds(product_graph, *parts(checkpoint), many, titles, seed=1)
    assert texts_of(others) != texts_of(feeds)


def test_an_empty_catalogue_gives_nothing(query_graph: TowerGraph, checkpoint: Checkpoint) -> None:
    assert calibration_feeds(query_graph, *parts(checkpoint), Catalogue([]), QUERIES) == []


def parts(checkpoint: Checkpoint) -> tuple[Tokenizer, Recipe]:
    return checkpoint.towers.tokenizer, checkpoint.recipe
