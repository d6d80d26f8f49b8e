"""Trains a pair of towers on a catalogue and a click log."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from catalog.catalogue import Catalogue
from catalog.keyword_table import KeywordTable
from catalog.pictures import DecodedPictures
from catalog.schema import Click, CoClick
from towers.build import Towers, build_towers
from towers.data.examples import make_examples
from towers.data.keywords import mine_keywords
from towers.data.material import Material
from towers.recipe import KeywordsRecipe, Recipe
from towers.stage_kinds.pictures import pictures_stage
from towers.stage_kinds.retrieval import retrieval_stage
from towers.training.identity import training_identity
from towers.training.loop import Stage, Step, run_stages
from towers.training.resume import ProgressFolder
from towers.training.state import StageLosses


@dataclass(frozen=True)
class Trained:
    """The result of a training, in evaluation mode."""

    towers: Towers
    clicked_pairs: int
    history: Mapping[str, StageLosses]
    """Every step's losses, by stage."""
    keywords: KeywordTable | None = None
    """What queries are enriched with, where the recipe asks for it."""

    @property
    def losses(self) -> tuple[float, ...]:
        """Mean loss of each tenth of the last stage."""
        return tenths(list(self.history.values())[-1].total)


def train(
    recipe: Recipe,
    catalogue: Catalogue,
    clicks: Sequence[Click],
    pictures: DecodedPictures,
    on_step: Callable[[Step], None] = lambda _: None,
    progress: ProgressFolder | None = None,
    coclicks: Sequence[CoClick] | None = None,
) -> Trained:
    """Trains towers; the same arguments on the same machine give the same towers.

    Args:
        recipe: what to build and how to train it.
        catalogue: the products to learn from.
        clicks: the click log; it may name no other product.
        pictures: the catalogue's pictures at the recipe's size, row by row.
        on_step: called after every step.
        coclicks: the shop's log of same-style pairs, where it keeps one.
        progress: where the training's state is kept, and taken up again. It is not removed at the
            end: the towers are not on disk yet.

    Raises:
        CatalogueError: the click log does not belong to the catalogue.
        InternalError: the loss is no longer a finite number.
    """
    torch.manual_seed(recipe.seed)
    keywords = None if recipe.keywords is None else _mined(recipe.keywords, catalogue, clicks)
    texts = [product.indexed_text() for product in catalogue.products] + [click.query for click in clicks]
    towers = build_towers(recipe, texts)
    examples = make_examples(
        catalogue,
        clicks,
        pictures,
        towers.tokenizer,
        recipe.max_query_tokens,
        recipe.max_product_tokens,
        keywords,
    )
    stages = stages_of(recipe, towers, Material(catalogue, examples, coclicks))
    start = None
    if progress is not None:
        identity = training_identity(recipe, clicks, examples, towers, stages, progress.known)
        start = progress.begin(identity)
        if start is not None:
            progress.say(f"going on from step {start.steps} of {sum(stage.steps for stage in stages)}")
    keep = progress.keep if progress is not None else lambda _: None
    losses = run_stages(stages, towers, on_step, keep, start)
    towers.train(False)
    history = {stage.name: part for stage, part in zip(stages, losses, strict=True)}
    return Trained(towers, examples.pairs, history, keywords)


_BUILDERS: Mapping[str, Callable[[Any, Recipe, Towers, Material], Stage[Any]]] = {
    "pictures": pictures_stage,
    "retrieval": retrieval_stage,
}
"""By the ``kind`` of a recipe's stage."""


def stages_of(recipe: Recipe, towers: Towers, material: Material) -> tuple[Stage[Any], ...]:
    """Returns the stages of a recipe's training, in their order; they may add to ``towers.heads``."""
    stages = [_BUILDERS[stage.kind](stage, recipe, towers, material) for stage in recipe.stages]
    seen: Counter[str] = Counter()
    for place, stage in enumerate(stages):
        seen[stage.name] += 1
        if seen[stage.name] > 1:  # curves and messages need a name for each
            stages[place] = replace(stage, name=f"{stage.name} {seen[stage.name]}")
    return tuple(stages)


def steps_of(recipe: Recipe) -> int:
    """Returns the steps of all stages of a recipe's training."""
    return sum(stage.steps for stage in recipe.stages)


def _mined(keywords: KeywordsRecipe, catalogue: Catalogue, clicks: Sequence[Click]) -> KeywordTable:
    titles = {product.product_id: product.title for product in catalogue.products}
    return mine_keywords(clicks, titles, per_query=keywords.per_query)


def tenths(losses: Sequence[float]) -> tuple[float, ...]:
    """Mean loss of each tenth of a stage, for the checkpoint's provenance."""
    size = max(1, math.ceil(len(losses) / 10))
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return tuple(round(sum(part) / len(part), 4) for part in parts)
