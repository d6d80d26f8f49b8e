"""A small query tower learns a teacher's vectors; everything else of the teacher's stays."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_checkpoint, tiny_clicks, tiny_pictures, tiny_recipe

from catalog.tokenizer import pad_batch
from faults import InvalidInput
from towers.build import build_towers
from towers.checkpoint import Checkpoint, Provenance, load_checkpoint, save_checkpoint
from towers.data.examples import QueryKeywords, make_examples
from towers.data.material import Material
from towers.data.pseudo_queries import pseudo_queries
from towers.recipe import Recipe, load_recipe
from towers.stage_kinds.distillation import (
    distance_to,
    distillation_stage,
    make_lesson,
    ranking_divergence,
)
from towers.stage_recipes import DistillationStageRecipe
from towers.student import fingerprint, principal_components, student_recipe, student_towers
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train


def distilling(query: dict[str, Any] | None = None, **stage: Any) -> Recipe:
    """A query tower of one layer of 16, and a few steps."""
    fields = {"kind": "distillation", "steps": 60, "batch": 24, "made": 60, "learning_rate": 2e-2, **stage}
    return tiny_recipe(
        name="student",
        query={"layers": 1, "width": 16, "heads": 2, **(query or {})},
        stages=[fields],
        dim=8,  # like all but the query and the stage, it is not read
    )


def taught(teacher: Checkpoint, recipe: Recipe, **more: Any) -> Trained:
    catalogue = tiny_catalogue()
    clicks, pictures = tiny_clicks(catalogue), tiny_pictures(catalogue)
    return train(student_recipe(recipe, teacher.recipe), catalogue, clicks, pictures, teacher=teacher, **more)


@pytest.fixture(scope="module")
def teacher() -> Checkpoint:
    return tiny_checkpoint()


@pytest.fixture(scope="module")
def student(teacher: Checkpoint) -> Trained:
    return taught(teacher, distilling())


def material_of(teacher: Checkpoint, taught_by: bool = True) -> Material:
    catalogue = tiny_catalogue()
    examples = make_examples(
        catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue), teacher.towers.tokenizer, 12, 16
    )
    return Material(catalogue, examples, teacher=teacher.towers if taught_by else None)


def stage_of(recipe: Recipe) -> DistillationStageRecipe:
    stage = recipe.stages[0]
    assert isinstance(stage, DistillationStageRecipe)
    return stage


def vectors(towers: Any, texts: Sequence[str]) -> torch.Tensor:
    ids, mask = pad_batch(towers.tokenizer.encode(texts, 12))
    with torch.no_grad():
        found: torch.Tensor = towers.query(torch.from_numpy(ids), torch.from_numpy(mask))
    return found


def test_the_student_s_recipe_is_the_teacher_s_with_another_query_tower_and_stage(
    teacher: Checkpoint,
) -> None:
    recipe = student_recipe(distilling(), teacher.recipe)
    assert recipe.query is not None
    assert (recipe.name, recipe.query.width, recipe.stages[0].kind) == ("student", 16, "distillation")
    assert (recipe.dim, recipe.image, recipe.text.vocabulary) == (16, teacher.recipe.image, 300)
    assert student_recipe(recipe, teacher.recipe) == recipe
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_the_preset_is_small_and_learns_from_a_teacher_alone(teacher: Checkpoint) -> None:
    recipe = student_recipe(load_recipe("distilled"), teacher.recipe)
    assert recipe.query is not None
    assert recipe.query.layers == 2
    assert 128 <= recipe.query.width <= 256
    assert recipe.dim == teacher.recipe.dim


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        (tiny_recipe(), "recipe.query"),
        (tiny_recipe(query={"layers": 1, "width": 16, "heads": 2}), "recipe.stages"),
    ],
)
def test_a_teacher_is_refused_where_nothing_is_to_be_learned_from_it(
    teacher: Checkpoint, recipe: Recipe, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        student_recipe(recipe, teacher.recipe)
    assert caught.value.field == field


def test_without_a_teacher_the_stage_is_refused(teacher: Checkpoint) -> None:
    recipe = student_recipe(distilling(), teacher.recipe)
    towers = student_towers(recipe, teacher)
    with pytest.raises(InvalidInput, match="teacher"):
        distillation_stage(stage_of(recipe), recipe, towers, material_of(teacher, taught_by=False))


def test_product_tower_and_tokenizer_stay_the_teacher_s(teacher: Checkpoint, student: Trained) -> None:
    theirs, ours = teacher.towers.product.state_dict(), student.towers.product.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert student.towers.product is not teacher.towers.product
    assert student.towers.tokenizer.sha256 == teacher.towers.tokenizer.sha256
    assert student.towers.query.encoder.config.width == 16


def test_the_student_comes_near_its_teacher_also_for_texts_that_nobody_asked(
    teacher: Checkpoint, student: Trained
) -> None:
    fresh = student_towers(student_recipe(distilling(), teacher.recipe), teacher)
    fresh.train(False)
    asked = {click.query for click in tiny_clicks(tiny_catalogue())}
    unseen = ["makers of the lamp", "mug chair", "white makers", "blue red"]
    assert not asked & set(unseen)
    for texts, least in ((sorted(asked), 0.9), (unseen, 0.8)):
        wanted = vectors(teacher.towers, texts)
        before = (vectors(fresh, texts) * wanted).sum(dim=1).mean()
        after = (vectors(student.towers, texts) * wanted).sum(dim=1).mean()
        assert after > max(least, before + 0.1)


def test_it_is_saved_with_two_sizes_and_comes_back(
    teacher: Checkpoint, student: Trained, tmp_path: Path
) -> None:
    recipe = student_recipe(distilling(), teacher.recipe)
    saved = Checkpoint(student.towers, recipe, Provenance("vitrine train", "", "", 12, student.clicked_pairs))
    save_checkpoint(saved, tmp_path / "student")
    found = load_checkpoint(tmp_path / "student").towers
    assert (found.query.encoder.config.width, found.product.encoder.config.width) == (16, 32)
    assert torch.equal(vectors(found, ["red mug"]), vectors(student.towers, ["red mug"]))


def test_killed_and_begun_again_it_ends_in_the_same_weights(
    teacher: Checkpoint, student: Trained, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(step: Any) -> None:
        if step.number == 25:
            raise Killed

    said: list[str] = []
    kept = ProgressFolder(tmp_path / "progress", said.append, every_steps=10)
    with pytest.raises(Killed):
        taught(teacher, distilling(), on_step=kill, progress=kept)
    again = taught(teacher, distilling(), progress=kept)
    assert said == ["going on from step 20 of 60"]
    for name, value in student.towers.query.state_dict().items():
        assert torch.equal(again.towers.query.state_dict()[name], value), name


def test_another_teacher_is_another_training(teacher: Checkpoint, tmp_path: Path) -> None:
    said: list[str] = []
    kept = ProgressFolder(tmp_path / "progress", said.append, every_steps=1)
    short = distilling(steps=2)
    taught(teacher, short, progress=kept)
    other = tiny_checkpoint()
    with torch.no_grad():
        other.towers.query.encoder.blocks[0].contract.bias += 1
    assert fingerprint(other) != fingerprint(teacher)
    taught(other, short, progress=kept)
    assert "teacher" in said[0]


def test_a_batch_holds_misspelt_texts_with_the_vector_of_what_was_meant(teacher: Checkpoint) -> None:
    material = material_of(teacher)
    drawn = {}
    for typos in (0.0, 1.0):
        recipe = student_recipe(distilling(typos=typos, steps=2), teacher.recipe)
        stage = distillation_stage(stage_of(recipe), recipe, student_towers(recipe, teacher), material)
        drawn[typos] = list(stage.batches(0))
        (last,) = stage.batches(1)
        assert torch.equal(last.query_ids, drawn[typos][1].query_ids)
    plain, wrong = drawn[0.0][0], drawn[1.0][0]
    with torch.no_grad():
        torch.testing.assert_close(
            plain.taught, teacher.towers.query(plain.query_ids, plain.query_mask), rtol=0, atol=1e-5
        )
        found = teacher.towers.query(wrong.query_ids, wrong.query_mask)
    torch.testing.assert_close(wrong.taught, plain.taught)
    assert (found - wrong.taught).abs().max() > 0.05


def test_products_are_ranked_by_what_an_index_would_hold(teacher: Checkpoint) -> None:
    material = material_of(teacher)
    examples = material.examples
    ids, mask = pad_batch(examples.product_tokens)
    arrays = (ids, mask, examples.pictures.pixels, examples.has_text[:, None], examples.pictures.has_image)
    with torch.no_grad():
        indexed, _ = teacher.towers.product(*map(torch.from_numpy, arrays))
    for products in (100, 5):
        recipe = student_recipe(distilling(steps=1, products=products), teacher.recipe)
        stage = distillation_stage(stage_of(recipe), recipe, student_towers(recipe, teacher), material)
        (batch,) = stage.batches(0)
        assert len(batch.products) == min(products, 12)
        nearest = torch.cdist(batch.products, indexed).min(dim=1)
        assert nearest.values.max() < 1e-3
        assert len(set(nearest.indices.tolist())) == len(batch.products)


def test_a_lesson_asks_the_teacher_for_the_log_s_texts_and_for_made_ones(teacher: Checkpoint) -> None:
    recipe = student_recipe(distilling(), teacher.recipe)
    material = material_of(teacher)
    lesson = make_lesson(stage_of(recipe), 3, teacher.towers, material)
    queries = material.examples.queries
    assert lesson.texts[: len(queries)] == queries
    made = lesson.texts[len(queries) :]
    assert len(made) == lesson.made > 10
    assert not set(made) & set(queries)
    torch.testing.assert_close(lesson.vectors, vectors(teacher.towers, lesson.texts), rtol=0, atol=1e-5)


def test_queries_are_taught_plain_and_with_the_teacher_s_keywords(teacher: Checkpoint) -> None:
    plain = material_of(teacher)
    enriched = plain.examples.encode([f"{query} makers" for query in plain.examples.queries])
    intents = tuple(frozenset[str]() for _ in enriched)
    examples = replace(plain.examples, keywords=QueryKeywords(enriched, intents))
    material = replace(plain, examples=examples)
    recipe = student_recipe(distilling(steps=8, typos=1.0), teacher.recipe)
    lesson = make_lesson(stage_of(recipe), 3, teacher.towers, material)
    assert lesson.tokens[-len(enriched) :] == enriched
    stage = distillation_stage(stage_of(recipe), recipe, student_towers(recipe, teacher), material)
    seen = [
        ids[mask == 1].tolist()
        for batch in stage.batches(0)
        for ids, mask in zip(batch.query_ids, batch.query_mask, strict=True)
    ]
    # As they are: keywords come from a table, so nobody mistypes them.
    assert sum(ids in enriched for ids in seen) > 10


def test_a_teacher_with_one_shared_encoder_can_be_learned_from() -> None:
    recipe = tiny_recipe(text={"shared": True}, fusion={"kind": "single_stream"})
    towers = build_towers(recipe, ["red mug", "lamp of the lamp makers"])
    towers.train(False)
    teacher = Checkpoint(towers, recipe, Provenance("", "", "", 0, 0))
    ours = student_recipe(distilling(), recipe)
    student = student_towers(ours, teacher)
    assert not ours.text.shared
    assert student.query.encoder is not student.product.encoder
    for name, value in towers.product.state_dict().items():
        assert torch.equal(student.product.state_dict()[name], value), name


def test_the_terms_are_zero_for_the_teacher_s_own_vectors_and_grow_with_the_error() -> None:
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize
    taught_vectors, products = unit(torch.randn(5, 8), dim=1), unit(torch.randn(20, 8), dim=1)
    assert distance_to(taught_vectors, taught_vectors).item() == pytest.approx(0, abs=1e-6)
    assert ranking_divergence(taught_vectors, taught_vectors, products, 20.0).item() == pytest.approx(
        0, abs=1e-6
    )
    errors = [unit(taught_vectors + size * torch.randn(5, 8), dim=1) for size in (0.1, 1.0)]
    assert 0 < distance_to(taught_vectors, errors[0]) < distance_to(taught_vectors, errors[1])
    near, far = (ranking_divergence(taught_vectors, error, products, 20.0) for error in errors)
    assert 0 < near < far


def test_an_error_across_all_products_costs_no_rank() -> None:
    products = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    wanted, aside, wrong = (
        torch.tensor([[0.6, 0.8, 0.0]]),
        torch.tensor([[0.6, 0.8, 9.0]]),
        torch.tensor([[0.8, 0.6, 0.0]]),
    )
    assert ranking_divergence(wanted, aside, products, 20.0).item() == pytest.approx(0, abs=1e-6)
    assert ranking_divergence(wanted, wrong, products, 20.0).item() > 1


def test_principal_components_keep_distances_as_well_as_they_can() -> None:
    torch.manual_seed(0)
    low = (
        torch.randn(30, 3) @ torch.randn(3, 8) + 5.0
    ).double()  # a plane of three dimensions, far from the origin
    torch.testing.assert_close(
        torch.cdist(principal_components(low, 3), principal_components(low, 3)),
        torch.cdist(low, low),
    )
    assert principal_components(low, 12).shape == (30, 12)
    spread = principal_components(torch.randn(50, 6) * torch.arange(1, 7), 4).std(dim=0)
    assert bool((spread[:-1] > spread[1:]).all())


def test_made_texts_are_spans_of_titles_and_mixtures_of_queries() -> None:
    titles = ["Mug, porcelain, Casa Verano", "", "Desk lamp (brass)"]
    queries = ["red mug", "striped plate"]
    found = pseudo_queries(titles, queries, 300, np.random.default_rng(0))
    assert {"porcelain casa", "desk lamp brass", "red plate"} <= set(found)
    assert len(set(found)) == len(found)
    assert not {"red mug", "striped plate"} & set(found)
    assert all(1 <= len(text.split()) <= 4 for text in found)
    assert found == pseudo_queries(titles, queries, 300, np.random.default_rng(0))
    known = {word for text in [*titles, *queries] for word in text.lower().replace(",", " ").split()}
    assert {word for text in found for word in text.split()} <= {word.strip("()") for word in known}


def test_nothing_is_made_of_nothing() -> None:
    assert pseudo_queries(["", "..."], [], 10, np.random.default_rng(0)) == []
    assert pseudo_queries([], ["red mug"], 50, np.random.default_rng(0)) != []
