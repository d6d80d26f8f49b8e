"""The gate that asks both pairs of towers the same questions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny_shop import write_tiny_shop

from catalog.tokenizer import train_tokenizer
from catalog.writers import write_catalogue
from export.gate.engine import Array, Feed, TorchEngine
from export.gate.retrieval import TowerPair, _embed_products, check_retrieval
from export.gate.shop import GateShop, open_gate_shop
from export.gate.thresholds import GateSettings
from export.onnx_export import TowerGraph
from faults import CatalogueError, GateFailed, InvalidInput
from towers.checkpoint import Checkpoint

LIMITS = GateSettings().fp32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_shop(tmp_path_factory.mktemp("shop") / "tiny")


@pytest.fixture(scope="module")
def shop(folder: Path, checkpoint: Checkpoint) -> GateShop:
    return open_gate_shop(folder, checkpoint.recipe)


@pytest.fixture(scope="module")
def pair(checkpoint: Checkpoint, query_graph: TowerGraph, product_graph: TowerGraph) -> TowerPair:
    return TowerPair(
        TorchEngine(query_graph), TorchEngine(product_graph), checkpoint.towers.tokenizer, 12, 16, rows=5
    )


class Changed:
    """An engine with something done to its vectors."""

    name = "changed"

    def __init__(self, graph: TowerGraph, change) -> None:
        self._engine, self._change = TorchEngine(graph), change

    def run(self, feed: Feed) -> list[Array]:
        vectors, *rest = self._engine.run(feed)
        return [self._change(vectors.copy()), *rest]


def with_(pair: TowerPair, **changes) -> TowerPair:
    return TowerPair(**{**vars(pair), **changes})


def test_the_reference_finds_what_it_finds(pair: TowerPair, shop: GateShop) -> None:
    report = check_retrieval(pair, with_(pair, multiple_of=8, rows=3), shop, LIMITS)
    assert report.measured["overlap_at_10"] == 1
    assert report.measured["largest_ndcg_at_10_loss"] == 0
    assert report.measured["queries"] == 2
    assert set(report.thresholds) <= set(report.measured)
    assert 0 < report.measured["ndcg_at_10"] <= 1


def test_rows_come_back_in_the_catalogues_order(pair: TowerPair, shop: GateShop) -> None:
    """They are embedded by length; mixed up alike on both sides, no comparison of the two would show it."""
    texts = [text + " maker" * (place % 5) for place, text in enumerate(shop.texts)]
    shop = replace(shop, texts=texts)
    assert len({len(ids) for ids in pair.tokenizer.encode(texts, 16)}) > 3
    together = _embed_products(pair, shop)
    for place in range(len(shop.ids)):
        part = replace(
            shop,
            ids=shop.ids[place : place + 1],
            texts=shop.texts[place : place + 1],
            pixels=shop.pixels[place : place + 1],
            has_image=shop.has_image[place : place + 1],
        )
        np.testing.assert_allclose(_embed_products(pair, part)[0], together[place], atol=1e-6)


def test_a_query_engine_that_points_elsewhere_is_refused_and_the_queries_named(
    pair: TowerPair, shop: GateShop, query_graph: TowerGraph
) -> None:
    away = with_(pair, query=Changed(query_graph, lambda vectors: -vectors))
    with pytest.raises(GateFailed, match="overlap_at_10") as caught:
        check_retrieval(pair, away, shop, LIMITS)
    assert set(caught.value.value) == {"red mug", "lamp"}
    assert caught.value.field == "retrieval of both towers"


def test_a_product_engine_that_forgets_is_refused_by_what_is_not_found(
    pair: TowerPair, shop: GateShop, product_graph: TowerGraph
) -> None:
    def shuffled(vectors: np.ndarray) -> np.ndarray:
        return np.roll(vectors, 1, axis=0)

    with pytest.raises(GateFailed, match=r"ndcg_at_10_loss|overlap_at_10"):
        check_retrieval(pair, with_(pair, product=Changed(product_graph, shuffled)), shop, LIMITS)


def test_ties_are_no_loss(pair: TowerPair, query_graph: TowerGraph, folder: Path, checkpoint) -> None:
    """Twenty copies of a product: any ten of them are right."""
    from catalog.readers import read_catalogue
    from catalog.schema import EvaluationQuery, Judgement, Product

    one = read_catalogue(folder).products[0]
    copies = [Product(f"copy-{number:02}", title=one.title) for number in range(20)]
    twins = folder.parent / "twins"
    write_catalogue(
        twins,
        copies,
        [],
        queries=[EvaluationQuery("q", "mug", "x")],
        judgements=[Judgement("q", product.product_id, 2) for product in copies],
    )
    shop = open_gate_shop(twins, checkpoint.recipe)
    source = np.random.default_rng(0)

    def noisy(vectors: np.ndarray) -> np.ndarray:
        return (vectors + source.normal(0, 1e-7, vectors.shape)).astype(np.float32)

    report = check_retrieval(pair, with_(pair, query=Changed(query_graph, noisy)), shop, LIMITS)
    assert report.measured["overlap_at_10"] == 1


def test_vectors_that_are_not_finite_are_named(
    pair: TowerPair, shop: GateShop, product_graph: TowerGraph
) -> None:
    def broken(vectors: np.ndarray) -> np.ndarray:
        vectors[0] = np.nan
        return vectors

    with pytest.raises(GateFailed, match="not finite") as caught:
        check_retrieval(pair, with_(pair, product=Changed(product_graph, broken)), shop, LIMITS)
    assert set(caught.value.value) <= set(shop.ids)


def test_a_tokenizer_of_another_release_is_refused(pair: TowerPair, shop: GateShop) -> None:
    other = train_tokenizer(["red green blue white mug lamp chair quilt sofa of the makers and takers"], 300)
    with pytest.raises(GateFailed):
        check_retrieval(pair, with_(pair, tokenizer=other), shop, LIMITS)


def test_a_shop_without_judgements_is_asked_what_its_log_asks_most(
    folder: Path, checkpoint: Checkpoint, pair: TowerPair
) -> None:
    for name in ("queries.csv", "qrels.csv"):
        (folder / name).rename(folder / f"{name}.away")
    try:
        shop = open_gate_shop(folder, checkpoint.recipe)
    finally:
        for name in ("queries.csv", "qrels.csv"):
            (folder / f"{name}.away").rename(folder / name)
    assert shop.queries[0].query in {"mug", "lamp", "chair"}  # asked of four products each
    assert not shop.judgements
    report = check_retrieval(pair, pair, shop, LIMITS)
    assert set(report.thresholds) == {"overlap_at_10"}


def test_a_shop_that_nobody_asked_anything_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    from catalog.schema import Product

    write_catalogue(tmp_path / "mute", [Product("p", title="mug")], [])
    with pytest.raises(InvalidInput, match="nothing to compare") as caught:
        open_gate_shop(tmp_path / "mute", checkpoint.recipe)
    assert caught.value.field == "--catalog"


def test_a_part_of_a_large_shop_has_what_is_judged_and_more(folder: Path, checkpoint: Checkpoint) -> None:
    parts = [open_gate_shop(folder, checkpoint.recipe, most_products=8) for _ in range(2)]
    assert parts[0].ids == parts[1].ids
    assert len(parts[0].ids) == 8
    judged = {judgement.product_id for judgement in parts[0].judgements}
    assert 4 <= len(judged) < 8
    assert judged <= set(parts[0].ids)


def test_the_traffic_is_the_click_logs(shop: GateShop) -> None:
    assert shop.traffic["mug"] == 40
    assert shop.traffic["red mug"] == 10


def test_judgements_of_another_catalogue_are_refused_at_once(tmp_path: Path, checkpoint: Checkpoint) -> None:
    from catalog.schema import EvaluationQuery, Judgement, Product

    write_catalogue(
        tmp_path / "strange",
        [Product("p", title="mug")],
        [],
        queries=[EvaluationQuery("q", "mug", "x")],
        judgements=[Judgement("q", "of another shop", 2)],
    )
    with pytest.raises(InvalidInput, match="no query has a relevant product"):
        open_gate_shop(tmp_path / "strange", checkpoint.recipe)


def test_pictures_of_which_none_decodes_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    from catalog.schema import Click, Picture, Product

    write_catalogue(
        tmp_path / "torn",
        [Product("p", title="mug")],
        [Picture("p", "main", b"torn")],
        clicks=[Click("mug", "p", 1, 1)],
    )
    with pytest.raises(CatalogueError, match="can be decoded"):
        open_gate_shop(tmp_path / "torn", checkpoint.recipe)
