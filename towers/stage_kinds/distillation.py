"""The distillation stage: a small query tower learns to give a teacher's query vectors.

It learns from texts, not from clicks: the log's queries, and texts like queries that nobody has asked
yet, so that it does not only know the log by heart. A misspelt text is taught the vector of what was
meant, which can make the student better than its teacher there. Two terms: the cosine to the teacher's
vector, and the divergence from how the teacher ranks products, which says in which directions an
error matters. Learning a larger model's outputs is Hinton et al.'s distillation (2015); these terms and
texts are our proposal [DESIGN].

Only the query tower learns. The product tower is the teacher's and stays, and so does every index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from catalog.tokenizer import pad_batch
from faults import InvalidInput
from towers.build import Towers
from towers.data.examples import Examples
from towers.data.material import Material
from towers.data.pseudo_queries import pseudo_queries
from towers.data.typos import tokens_with_typos
from towers.embedding import product_vectors, query_vectors
from towers.recipe import Recipe
from towers.stage_recipes import DistillationStageRecipe
from towers.training.loop import ParameterGroup, Stage

_TEXTS, _PRODUCTS, _BATCHES = 1, 2, 3
"""Streams of random numbers from one seed."""


@dataclass(frozen=True)
class DistillationBatch:
    """Q texts, and what the teacher makes of them."""

    query_ids: Tensor
    """int64[Q,L]."""
    query_mask: Tensor
    """int64[Q,L]."""
    taught: Tensor
    """float32[Q,dim], L2-normalised: the teacher's vectors."""
    products: Tensor
    """float32[P,dim], L2-normalised: the products to rank, the same in every batch."""


@dataclass(frozen=True)
class Lesson:
    """All texts to learn from, with the teacher's vectors."""

    texts: tuple[str, ...]
    tokens: list[list[int]]
    """Of the texts; behind them of queries with their keywords, which have no text of their own."""
    vectors: Tensor
    """float32[len(tokens),dim]."""
    made: int
    """The last ``made`` texts are in no log."""


def distillation_stage(
    stage: DistillationStageRecipe, recipe: Recipe, towers: Towers, material: Material
) -> Stage[DistillationBatch]:
    """Returns the stage that trains the query tower, and nothing else.

    Raises:
        InvalidInput: there is no teacher.
    """
    teacher = material.teacher
    if teacher is None:
        raise InvalidInput(
            "a distillation stage needs a teacher",
            field="--teacher",
            value=None,
            fix="Name the checkpoint to learn from.",
        )
    return Stage(
        name=stage.kind,
        steps=stage.steps,
        groups=(ParameterGroup(tuple(towers.query.parameters()), stage.learning_rate),),
        batches=lambda skip: _batches(stage, recipe.seed, teacher, material, skip),
        loss=lambda towers, batch: _loss(towers, batch, stage, recipe.bfloat16),
        warmup=stage.warmup,
        weight_decay=stage.weight_decay,
    )


def _batches(
    stage: DistillationStageRecipe, seed: int, teacher: Towers, material: Material, skip: int
) -> Iterator[DistillationBatch]:
    lesson = make_lesson(stage, seed, teacher, material)
    products = product_vectors(teacher, material.examples, _ranked(stage, seed, material.examples))
    for step in range(skip, stage.steps):
        random = np.random.default_rng([seed, _BATCHES, step])
        rows = _drawn(lesson, stage, random)
        tokens = _with_typos(lesson, rows, stage.typos, material.examples, random)
        ids, mask = pad_batch(tokens)
        yield DistillationBatch(
            torch.from_numpy(ids), torch.from_numpy(mask), lesson.vectors[torch.from_numpy(rows)], products
        )


def make_lesson(stage: DistillationStageRecipe, seed: int, teacher: Towers, material: Material) -> Lesson:
    """Gathers the texts and asks the teacher for each of them."""
    examples = material.examples
    titles = [product.title or product.description for product in material.catalogue.products]
    random = np.random.default_rng([seed, _TEXTS])
    made = pseudo_queries(titles, examples.queries, stage.made, random)
    tokens = [*examples.query_tokens, *examples.encode(made)]
    if examples.keywords is not None:
        tokens += examples.keywords.tokens
    return Lesson((*examples.queries, *made), tokens, query_vectors(teacher, tokens), len(made))


def _drawn(
    lesson: Lesson, stage: DistillationStageRecipe, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws the rows of a batch: ``made_share`` of them made texts, the others as the log has them."""
    first_made, texts = len(lesson.texts) - lesson.made, len(lesson.texts)
    of_log = np.r_[0:first_made, texts : len(lesson.tokens)]
    rows = random.choice(of_log, stage.batch)
    if lesson.made:
        made = random.random(stage.batch) < stage.made_share
        rows[made] = random.integers(first_made, texts, int(made.sum()))
    return rows


def _with_typos(
    lesson: Lesson,
    rows: npt.NDArray[np.int64],
    chance: float,
    examples: Examples,
    random: np.random.Generator,
) -> list[list[int]]:
    """The rows' tokens, some of them misspelt; queries with keywords stay as they are."""
    tokens = [lesson.tokens[row] for row in rows.tolist()]
    spelt = np.flatnonzero(rows < len(lesson.texts))
    wrong = tokens_with_typos(lesson.texts, lesson.tokens, rows[spelt], chance, examples.encode, random)
    for place, ids in zip(spelt.tolist(), wrong, strict=True):
        tokens[place] = ids
    return tokens


def _ranked(stage: DistillationStageRecipe, seed: int, examples: Examples) -> npt.NDArray[np.int64]:
    """Draws the products that are ranked; all where the catalogue has no more."""
    count = len(examples.product_tokens)
    order = np.random.default_rng([seed, _PRODUCTS]).permutation(count)
    return np.sort(order[: stage.products])


def _loss(
    towers: Towers, batch: DistillationBatch, stage: DistillationStageRecipe, bfloat16: bool
) -> dict[str, Tensor]:
    with torch.autocast(batch.query_ids.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        found = towers.query(batch.query_ids, batch.query_mask)
    terms = {"cosine": distance_to(batch.taught, found)}
    if stage.ranking:
        divergence = ranking_divergence(batch.taught, found, batch.products, stage.scale)
        terms["ranking"] = stage.ranking * divergence
    return terms


def distance_to(taught: Tensor, found: Tensor) -> Tensor:
    """Mean of 1 - cosine between float32[Q,dim] unit vectors, row by row."""
    return (1 - (taught * found).sum(dim=-1)).mean()


def ranking_divergence(taught: Tensor, found: Tensor, products: Tensor, scale: float) -> Tensor:
    """How far the products' order by ``found`` is from that by ``taught``.

    Args:
        taught: float32[Q,dim], the teacher's queries.
        found: float32[Q,dim], the student's.
        products: float32[P,dim].
        scale: inverse temperature of the softmax over cosines.

    Returns:
        The mean Kullback-Leibler divergence in nats, float32 scalar; 0 where all cosines agree.
    """
    wanted = F.log_softmax(scale * taught @ products.T, dim=-1)
    ranked = F.log_softmax(scale * found @ products.T, dim=-1)
    return F.kl_div(ranked, wanted, reduction="batchmean", log_target=True)
