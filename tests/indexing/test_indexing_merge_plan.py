import asyncio
import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest

from catalog.catalogue import Catalogue
from catalog.held_out import is_held_out_product
from catalog.schema import Product
from indexing import merge_plan, tuning_queries
from indexing.lexical import write_lexical
from indexing.merge_plan import choose_plan
from indexing.tuning_queries import LEAST_QUERIES, TuningQueries, simulated_queries, with_vectors
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.merging import DEFAULT_PLAN

THINGS = ("mug", "lamp", "chair", "table", "plate", "shelf", "clock", "vase")
COLOURS = ("red", "green", "blue", "white", "black")
STUFFS = ("oak", "glass", "steel", "linen", "cork", "wool")


@pytest.fixture(autouse=True)
def fewer_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_queries, "_QUERIES", 150)


def shop(text: str, shift: int = 0) -> Catalogue:
    """240 products whose titles are made of their own fields, or of those of another product."""
    fields = [(thing, colour, stuff) for thing in THINGS for colour in COLOURS for stuff in STUFFS]
    told = fields[shift:] + fields[:shift]
    return Catalogue(
        [
            Product(
                f"p{row}",
                title=text.format(thing=told[row][0], colour=told[row][1], stuff=told[row][2]),
                category=f"{thing}s",
                color=colour,
                attributes={"material": stuff},
            )
            for row, (thing, colour, stuff) in enumerate(fields)
        ]
    )


def tuning(catalogue: Catalogue, noise: float, seed: int = 0) -> tuple[TuningQueries, np.ndarray]:
    """Simulated queries with vectors: each near the mean of its relevant products', by so much noise."""
    dice = np.random.default_rng(seed)
    vectors = dice.standard_normal((len(catalogue), 64)).astype(np.float32)
    queries = simulated_queries(catalogue)
    right = np.stack([vectors[sorted(rows)].mean(axis=0) for rows in queries.relevant])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    astray = dice.standard_normal(right.shape)
    asked = right + noise * astray / np.linalg.norm(astray, axis=1, keepdims=True)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dataclasses.replace(queries, vectors=asked.astype(np.float32)), vectors


def lexical_of(folder: Path, catalogue: Catalogue) -> LexicalIndex:
    return LexicalIndex.open(folder / write_lexical(folder, catalogue).folder)


def test_queries_come_from_training_products_and_only_they_answer() -> None:
    catalogue = shop("{thing}")
    training = {row for row, product in enumerate(catalogue.products) if not is_held_out_product(product)}
    assert 0 < len(training) < len(catalogue)
    queries = simulated_queries(catalogue)
    assert set(queries.rows.tolist()) == training
    assert len(queries.texts) == len(set(queries.texts)) == len(queries.relevant) >= LEAST_QUERIES
    assert all(len(rows) > 1 and rows <= training for rows in queries.relevant)


def test_queries_are_the_same_each_time_and_whatever_happens_to_held_out_products() -> None:
    catalogue = shop("{thing}")
    changed = Catalogue(
        [
            dataclasses.replace(product, color="pink", category="hats")
            if is_held_out_product(product)
            else product
            for product in catalogue.products
        ]
    )
    one, other = simulated_queries(catalogue), simulated_queries(changed)
    assert one.texts == other.texts == simulated_queries(catalogue).texts
    assert one.relevant == other.relevant


def test_a_large_catalogue_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_queries, "_PRODUCTS", 40)
    monkeypatch.setattr(tuning_queries, "_QUERIES", 60)
    queries = simulated_queries(shop("{thing}"))
    assert (len(queries.rows), len(queries.texts)) == (40, 60)
    assert set().union(*queries.relevant) <= set(queries.rows.tolist())


def test_vectors_are_the_query_towers() -> None:
    class Encoder:
        def tokenise(self, text: str) -> str:
            return text

        async def encode_words(self, tokens: str) -> np.ndarray:
            await asyncio.sleep(random.random() / 1000)
            return np.array([len(tokens), 0.5], np.float32)

    queries = simulated_queries(shop("{thing}"))
    found = asyncio.run(with_vectors(queries, Encoder()))  # type: ignore[arg-type]
    assert found.vectors[:, 0].tolist() == [len(text) for text in queries.texts]
    assert found.vectors.dtype == np.float32


def test_where_titles_say_nothing_the_dense_channel_decides(tmp_path: Path) -> None:
    catalogue = shop("product of quality")
    plan = choose_plan(*tuning(catalogue, noise=1.0), lexical_of(tmp_path, catalogue))
    assert plan.method == "weighted_scores"
    assert plan.figures["ndcg_at_10_lexical"] < 0.05
    assert plan.figures["ndcg_at_10_merged"] == pytest.approx(plan.figures["ndcg_at_10_dense"], abs=0.02)


def test_where_titles_tell_everything_and_vectors_little_full_text_gets_much_weight(tmp_path: Path) -> None:
    catalogue = shop("{colour} {thing} of {stuff}")
    poor = choose_plan(*tuning(catalogue, noise=4.0), lexical_of(tmp_path, catalogue))
    assert poor.lexical_weight >= 0.4
    figures = poor.figures
    assert figures["ndcg_at_10_merged"] > figures["ndcg_at_10_dense"] + 0.1
    assert figures["ndcg_at_10_dense"] < figures["ndcg_at_10_merged"] <= figures["ndcg_at_10_best"] <= 1
    assert figures["queries"] >= LEAST_QUERIES
    assert poor.chosen_by.endswith("training products")


def test_misleading_titles_weigh_less_than_telling_ones(tmp_path: Path) -> None:
    weights = {}
    for name, shift in (("telling", 0), ("misleading", 97)):
        catalogue = shop("{colour} {thing} of {stuff}", shift)
        (tmp_path / name).mkdir()
        plan = choose_plan(*tuning(catalogue, noise=1.0), lexical_of(tmp_path / name, catalogue))
        weights[name] = plan.lexical_weight
    assert weights["misleading"] < weights["telling"]


def test_of_weights_that_cannot_be_told_apart_the_largest_is_taken() -> None:
    dice = np.random.default_rng(0)
    base = dice.random(400)
    better, same, worse = base + 0.02, base + 0.02 + 0.2 * dice.standard_normal(400), base - 0.2
    assert merge_plan._heaviest_of_the_best(np.stack([base, better, better, worse])) == 2
    assert (
        merge_plan._heaviest_of_the_best(np.stack([base, better, same - (same - better).mean(), worse])) == 2
    )
    assert merge_plan._heaviest_of_the_best(np.stack([better, base, worse])) == 0


@pytest.mark.parametrize(
    "catalogue", [Catalogue([Product("p", "mug")]), shop("{thing}").subset(["p0", "p1"])]
)
def test_too_few_queries_take_the_default_and_the_manifest_says_so(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    queries = asyncio.run(with_vectors(simulated_queries(catalogue), None))  # type: ignore[arg-type]
    assert len(queries.texts) < LEAST_QUERIES
    plan = choose_plan(queries, np.ones((len(catalogue), 4), np.float32), lexical_of(tmp_path, catalogue))
    assert (plan.method, plan.dense_weight, plan.lexical_weight) == (
        DEFAULT_PLAN.method,
        DEFAULT_PLAN.dense_weight,
        DEFAULT_PLAN.lexical_weight,
    )
    assert plan.chosen_by.startswith(f"default: training products gave {len(queries.texts)} of")
    assert plan.figures == {}


def test_ndcg_is_that_of_the_field() -> None:
    found = merge_plan._ndcg(np.array([4, 9, 7, 1]), frozenset({9, 1, 30}))
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / best)
    assert merge_plan._ndcg(np.arange(10), frozenset(range(40))) == pytest.approx(1.0)
    assert merge_plan._ndcg(np.empty(0, np.int64), frozenset({1, 2})) == 0.0
