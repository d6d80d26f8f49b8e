"""The same-style stage: its batches, its terms, and that products of one style come to find each other."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_shop import COLOURS, SIZE, tiny_recipe, tiny_retrieval

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.schema import Click, CoClick, Product
from catalog.tokenizer import pad_batch
from evaluation.same_style import found_by_group
from faults import CatalogueError
from towers.build import Towers, build_towers
from towers.data.derived_coclicks import coclicks_of
from towers.data.examples import make_examples
from towers.data.material import Material
from towers.recipe import Recipe, load_recipe
from towers.stage_kinds.same_style import PairBatch, same_style_stage
from towers.training.loop import Stage, run_stages
from towers.training.train import stages_of, train

THINGS = ("mug", "lamp", "chair", "vase")
FUSED: dict[str, Any] = {"fusion": {"kind": "gate"}}
SINGLE: dict[str, Any] = {
    "fusion": {"kind": "single_stream"},
    "text": {"layers": 1, "width": 16, "heads": 2, "vocabulary": 300, "shared": True},
}


def recipe(tower: dict[str, Any] = FUSED, **stage: Any) -> Recipe:
    changes = {"steps": 16, "batch": 8, "learning_rate": 1e-2, "pairs": {"relevance": 0, "clicks": 1}}
    return tiny_recipe(**tower, stages=[{"kind": "same_style", **changes, **stage}])


def catalogue() -> Catalogue:
    """Four things in four colours from two suppliers each, who describe them in words of their own."""
    return Catalogue(
        [
            Product(
                f"{thing}-{colour}-{supplier}",
                title=f"{thing} {colour} {words}" if supplier == "a" or thing != "vase" else "",
                category="home",
                supplier=supplier,
            )
            for thing in THINGS
            for colour in COLOURS
            for supplier, words in (("a", "by Alma"), ("b", "from Casa"))
        ]
    )


def pictures(products: Catalogue) -> DecodedPictures:
    """Noise over the colour, so that no two pictures are equal; one thing has none."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 40, (len(products), 1, SIZE, SIZE, 3)).astype(np.uint8)
    has_image = np.ones((len(products), 1), dtype=np.bool_)
    for row, product_id in enumerate(products.ids):
        thing, colour, _ = product_id.split("-")
        pixels[row, 0] += (0.8 * np.array(COLOURS[colour])).astype(np.uint8)
        if thing == "lamp":
            pixels[row], has_image[row] = 0, False
    return DecodedPictures(pixels, has_image, ())


def coclicks() -> list[CoClick]:
    return [CoClick(f"{t}-{c}-a", f"{t}-{c}-b", 3) for t in THINGS for c in COLOURS]


def clicks() -> list[Click]:
    """Nobody ever looked for a chair."""
    return [
        Click(f"{c} {t}", f"{t}-{c}-{s}", 1, 1) for t in THINGS if t != "chair" for c in COLOURS for s in "ab"
    ]


def made(chosen: Recipe, log: list[CoClick] | None = None) -> tuple[Towers, Material]:
    torch.manual_seed(0)
    products = catalogue()
    towers = build_towers(chosen, [product.title for product in products.products])
    examples = make_examples(
        products,
        clicks(),
        pictures(products),
        towers.tokenizer,
        chosen.max_query_tokens,
        chosen.max_product_tokens,
    )
    return towers, Material(products, examples, coclicks() if log is None else log)


@pytest.fixture(scope="module")
def still() -> tuple[Towers, Material]:
    """Towers that no test may train."""
    towers, material = made(recipe())
    towers.train(False)
    return towers, material


def stage_of(chosen: Recipe, towers: Towers, material: Material) -> Stage[PairBatch]:
    return same_style_stage(chosen.stages[0], chosen, towers, material)


def losses_of(stage: Stage[PairBatch], towers: Towers, batch: PairBatch) -> dict[str, float]:
    with torch.no_grad():
        return {name: float(value) for name, value in stage.loss(towers, batch).items()}


def embedded(towers: Towers, material: Material) -> np.ndarray:
    """The whole of every product."""
    examples = material.examples
    arrays = (
        *pad_batch(examples.product_tokens),
        examples.pictures.pixels,
        examples.has_text[:, None],
        examples.pictures.has_image,
    )
    towers.train(False)
    with torch.no_grad():
        fused, _ = towers.product(*map(torch.from_numpy, arrays))
    return fused.numpy()


def first_hits(towers: Towers, material: Material) -> float:
    vectors = embedded(towers, material)
    styles = [product_id.rpartition("-")[0] for product_id in material.catalogue.ids]
    return found_by_group(vectors, vectors, styles, styles, own=np.arange(len(vectors))).first


@pytest.mark.parametrize(
    ("tower", "loss"), [(FUSED, "hinge"), (SINGLE, "softmax")], ids=["fused", "single stream"]
)
def test_products_of_one_style_come_to_find_each_other(tower: dict[str, Any], loss: str) -> None:
    chosen = recipe(tower, loss=loss, margin=0.5, query_weight=0.0)
    towers, material = made(chosen)
    before = first_hits(towers, material)
    towers.train(True)
    stage = stage_of(chosen, towers, material)
    losses = run_stages([stage], towers, lambda _: None, lambda _: None)[0]
    assert set(losses.terms) == {"ppm_full", "ppm_text", "ppm_image", "pdc", "lc", "query"}
    assert np.mean(losses.terms["ppm_full"][-5:]) < 0.6 * np.mean(losses.terms["ppm_full"][:5])
    assert first_hits(towers, material) > before + 0.1


def test_queries_learn_along() -> None:
    chosen = recipe(query_weight=1.0, queries_each=1)
    towers, material = made(chosen)
    losses = run_stages([stage_of(chosen, towers, material)], towers, lambda _: None, lambda _: None)[0]
    assert np.mean(losses.terms["query"][-5:]) < 0.8 * np.mean(losses.terms["query"][:5])


def test_batches_after_a_pause_are_the_same(still: tuple[Towers, Material]) -> None:
    stage = stage_of(recipe(steps=4), *still)
    for whole, resumed in zip(list(stage.batches(0))[2:], stage.batches(2), strict=True):
        for field in fields(PairBatch):
            assert torch.equal(getattr(whole, field.name), getattr(resumed, field.name)), field.name


def test_a_batch_holds_pairs_and_knows_who_is_no_negative(still: tuple[Towers, Material]) -> None:
    stage = stage_of(recipe(steps=3, batch=20), *still)
    for batch in stage.batches(0):
        tokens = [tuple(row[row > 0].tolist()) for row in batch.product_ids]
        assert len(batch.fitting) == 20
        assert len(batch.product_ids) == 40
        assert len(set(batch.target.tolist())) < 20  # chairs are never asked for
        assert batch.fitting.diagonal().all()
        assert batch.alike.diagonal().all()
        # Twenty of thirty-two: some triggers are each other's partners, and these are the only others.
        assert 20 < int(batch.fitting.sum()) == int(batch.alike.sum())
        assert batch.fitting.sum(dim=1).max() <= 2
        assert batch.known[torch.arange(len(batch.target)), batch.target].all()
        assert tokens[0] != tokens[20]


def test_a_trigger_asks_with_what_it_has(still: tuple[Towers, Material]) -> None:
    """Without its pictures a batch says nothing about pictures, and a part is no part of itself alone."""
    stage = stage_of(recipe(batch=32, query_weight=0.0), *still)
    batch = next(stage.batches(0))
    whole = losses_of(stage, still[0], batch)
    assert {name for name, value in whole.items() if value == 0} == {"query"}
    blind = losses_of(stage, still[0], replace(batch, has_image=torch.zeros_like(batch.has_image)))
    assert {name for name, value in blind.items() if value == 0} == {"ppm_image", "pdc", "lc", "query"}


@pytest.mark.parametrize(
    ("weight", "term"),
    [
        ("full_weight", "ppm_full"),
        ("text_weight", "ppm_text"),
        ("image_weight", "ppm_image"),
        ("distinct_weight", "pdc"),
        ("consistency_weight", "lc"),
        ("query_weight", "query"),
    ],
)
def test_every_term_has_its_weight(still: tuple[Towers, Material], weight: str, term: str) -> None:
    found = {}
    for value in (0.0, 1.0, 2.0):
        stage = stage_of(recipe(**{weight: value}), *still)
        found[value] = losses_of(stage, still[0], next(stage.batches(0)))
    assert found[0.0][term] == 0.0
    assert found[2.0][term] == pytest.approx(2 * found[1.0][term])
    assert found[1.0][term] > 0
    others = [{name: part for name, part in each.items() if name != term} for each in found.values()]
    assert others[1] == others[2]


def test_a_frozen_half_stays_and_the_rates_are_the_recipes() -> None:
    towers, material = made(recipe())
    towers.product.encoder.requires_grad_(False)
    chosen = recipe(text_learning_rate=1e-3, image_learning_rate=2e-3)
    stage = stage_of(chosen, towers, material)
    assert [group.learning_rate for group in stage.groups] == [1e-3, 2e-3, 1e-2]
    learning = {id(parameter) for group in stage.groups for parameter in group.parameters}
    assert not learning & {id(parameter) for parameter in towers.product.encoder.parameters()}
    assert {id(parameter) for parameter in towers.query.encoder.parameters()} <= learning
    assert sum(len(group.parameters) for group in stage.groups) == len(learning)


def test_it_follows_a_retrieval_stage_under_a_name_of_its_own() -> None:
    chosen = tiny_recipe(**FUSED, stages=[tiny_retrieval(), *recipe(name="styles").model_dump()["stages"]])
    towers, material = made(chosen)
    assert [stage.name for stage in stages_of(chosen, towers, material)] == ["retrieval", "styles"]


def test_a_shop_without_coclicks_learns_from_what_its_queries_share() -> None:
    chosen = recipe(steps=2)
    trained = train(chosen, catalogue(), clicks(), pictures(catalogue()))
    assert len(trained.history["same_style"].total) == 2
    told = train(chosen, catalogue(), clicks(), pictures(catalogue()), coclicks=coclicks_of(clicks()))
    assert told.history["same_style"].total == trained.history["same_style"].total


def test_without_pairs_it_does_not_begin(still: tuple[Towers, Material]) -> None:
    towers, material = still
    with pytest.raises(CatalogueError, match="there are none"):
        stage_of(recipe(), towers, replace(material, coclicks=None))
    with pytest.raises(CatalogueError, match="none of 16 co-clicked pairs is left"):
        stage_of(recipe(pairs={"clicks": 9}), towers, material)
    unknown = replace(material, coclicks=[CoClick("ghost", "mug-red-a", 1)])
    with pytest.raises(CatalogueError, match=r"1 co-clicked products .*ghost"):
        stage_of(recipe(), towers, unknown)


def test_the_recipes_are_what_their_systems_are() -> None:
    same_style = load_recipe("same_style")
    assert (same_style.fusion.kind, same_style.text.shared) == ("single_stream", True)
    assert [stage.kind for stage in same_style.stages] == ["retrieval", "same_style"]
    beyond_text = load_recipe("beyond_text")
    assert beyond_text.fusion.kind == "fusion_token"
    alignment, fusion = beyond_text.stages
    assert (alignment.kind, alignment.fused_weight) == ("retrieval", 0.0)
    assert alignment.modality_weight > 0
    assert (fusion.kind, fusion.fused_weight) == ("retrieval", 1.0)
    assert fusion.text_learning_rate < alignment.text_learning_rate
