"""Trains a pair of towers on a catalogue and a click log."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.schema import Click
from towers.build import Towers, build_towers
from towers.data.examples import Examples, make_examples
from towers.recipe import Recipe
from towers.stage_kinds.pictures import picture_stage
from towers.stage_kinds.retrieval import joint_stage
from towers.training.identity import training_identity
from towers.training.loop import Stage, Step, run_stages
from towers.training.resume import ProgressFolder


@dataclass(frozen=True)
class Trained:
    """The result of a training, in evaluation mode."""

    towers: Towers
    clicked_pairs: int
    stage_losses: Mapping[str, tuple[float, ...]]
    """By stage: the mean loss of each tenth of it."""

    @property
    def losses(self) -> tuple[float, ...]:
        """Mean loss of each tenth of the joint stage."""
        return self.stage_losses["joint"]


def train(
    recipe: Recipe,
    catalogue: Catalogue,
    clicks: Sequence[Click],
    pictures: DecodedPictures,
    on_step: Callable[[Step], None] = lambda _: None,
    progress: ProgressFolder | None = None,
) -> Trained:
    """Trains towers; the same arguments on the same machine give the same towers.

    Args:
        recipe: what to build and how to train it.
        catalogue: the products to learn from.
        clicks: the click log; it may name no other product.
        pictures: the catalogue's pictures at the recipe's size, row by row.
        on_step: called after every step.
        progress: where the training's state is kept, and taken up again. It is not removed at the
            end: the towers are not on disk yet.

    Raises:
        CatalogueError: the click log does not belong to the catalogue.
        InternalError: the loss is no longer a finite number.
    """
    torch.manual_seed(recipe.training.seed)
    texts = [product.indexed_text() for product in catalogue.products] + [click.query for click in clicks]
    towers = build_towers(recipe, texts)
    examples = make_examples(
        catalogue, clicks, pictures, towers.tokenizer, recipe.max_query_tokens, recipe.max_product_tokens
    )
    stages = stages_of(recipe, towers, examples)
    start = None
    if progress is not None:
        identity = training_identity(recipe, clicks, examples, towers, stages, progress.known)
        start = progress.begin(identity)
        if start is not None:
            progress.say(f"going on from step {start.steps} of {sum(stage.steps for stage in stages)}")
    keep = progress.keep if progress is not None else lambda _: None
    losses = run_stages(stages, towers, on_step, keep, start)
    towers.train(False)
    named = {stage.name: tenths(part) for stage, part in zip(stages, losses, strict=True)}
    return Trained(towers, examples.pairs, named)


def stages_of(recipe: Recipe, towers: Towers, examples: Examples) -> tuple[Stage[Any], ...]:
    """Returns the stages of a recipe's training, in their order."""
    joint = joint_stage(recipe.training, towers, examples)
    if recipe.picture_stage is None:
        return (joint,)
    return (picture_stage(recipe.picture_stage, recipe.training, towers, examples), joint)


def steps_of(recipe: Recipe) -> int:
    """Returns the steps of all stages of a recipe's training."""
    pictures = recipe.picture_stage.steps if recipe.picture_stage else 0
    return pictures + recipe.training.steps


def tenths(losses: Sequence[float]) -> tuple[float, ...]:
    """Mean loss of each tenth of a stage, for the checkpoint's provenance."""
    size = max(1, math.ceil(len(losses) / 10))
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return tuple(round(sum(part) / len(part), 4) for part in parts)
