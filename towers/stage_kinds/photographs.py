"""Photographs stage: two photographs of one product are pulled together, other products pushed apart.

It gives the picture half what the click log cannot: which pictures show the same product. It stands
alone, as a first stage, or beside another stage as a further loss, so that what it taught is not lost
while the towers learn from clicks.

The loss is the softmax over cosines of the other stages, each photograph against all products of the
batch; that a product without a second photograph is paired with a random variation of its only one is
how SimCLR (Chen et al., 2020) makes pairs. Which photographs make a pair, and the shares, are ours [DESIGN].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from towers.build import Towers
from towers.data.material import Material
from towers.data.photographs import PairBatch, PairDrawing, Photographs
from towers.data.variations import Variations
from towers.objectives.softmax import in_batch_softmax
from towers.recipe import Recipe
from towers.stage_recipes import PhotographsRecipe, PhotographsStageRecipe
from towers.training.loop import ParameterGroup, Stage

_TERM = "photographs"


@dataclass(frozen=True)
class BesideBatch:
    """A batch of another stage, and pairs of photographs for the same step."""

    own: Any
    pairs: PairBatch


def photographs_stage(
    stage: PhotographsStageRecipe, recipe: Recipe, towers: Towers, material: Material
) -> Stage[PairBatch]:
    """Returns the stage that trains the picture half on pairs of photographs, and nothing else."""
    product = towers.product
    learning = (*product.image_encoder.parameters(), *product.project_image.parameters())
    photographs = photographs_of(material)

    def batches(skip: int) -> Iterator[PairBatch]:
        return photographs.pairs(_drawing(stage, stage.steps, recipe.seed), _variations(stage), skip)

    return Stage(
        name=stage.kind,
        steps=stage.steps,
        groups=(ParameterGroup(tuple(learning), stage.learning_rate),),
        batches=batches,
        loss=lambda towers, batch: {_TERM: pair_loss(towers, batch, stage.scale, recipe.bfloat16)},
        warmup=stage.warmup,
        weight_decay=stage.weight_decay,
    )


def with_photographs(
    stage: Stage[Any], beside: PhotographsRecipe, recipe: Recipe, material: Material
) -> Stage[BesideBatch]:
    """Returns ``stage`` with the loss of pairs of photographs added to its own.

    Args:
        stage: it must train the picture half.
        beside: which pairs, and the weight of their loss.
        recipe: of the towers.
        material: what the photographs are drawn from.
    """
    photographs = photographs_of(material)

    def batches(skip: int) -> Iterator[BesideBatch]:
        pairs = photographs.pairs(_drawing(beside, stage.steps, recipe.seed), _variations(beside), skip)
        return (BesideBatch(own, drawn) for own, drawn in zip(stage.batches(skip), pairs, strict=False))

    def loss(towers: Towers, batch: BesideBatch) -> Mapping[str, Tensor]:
        own = stage.loss(towers, batch.own)
        further = pair_loss(towers, batch.pairs, beside.scale, recipe.bfloat16)
        return {**own, _TERM: beside.weight * further}

    return replace(stage, batches=batches, loss=loss)


def pair_loss(towers: Towers, batch: PairBatch, scale: float, bfloat16: bool) -> Tensor:
    """Each photograph must find the other one of its product among those of all products.

    Args:
        towers: whose picture half is asked.
        batch: P pairs.
        scale: inverse temperature.
        bfloat16: run the encoder in bfloat16.

    Returns:
        The mean loss, float32 scalar.
    """
    has_image = torch.ones(len(batch.pixels), 1, dtype=torch.bool, device=batch.pixels.device)
    with torch.autocast(batch.pixels.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        vectors = towers.product.pictures_alone(batch.pixels[:, None], has_image)
    one, other = vectors.chunk(2)
    target = torch.arange(len(one), device=one.device)
    return in_batch_softmax(one, other, target, batch.alike, scale)


def photographs_of(material: Material) -> Photographs:
    """Joins the catalogue's own pictures with further photographs of the same and of other products.

    A product's main photograph is the catalogue's first.
    """
    pictures = material.examples.pictures
    count, views = pictures.has_image.shape
    rows = np.flatnonzero(pictures.has_image.reshape(-1))
    own = pictures.pixels.reshape(count * views, *pictures.pixels.shape[2:])[rows]
    groups = [material.catalogue.ids[row // views] for row in rows.tolist()]
    if material.photographs is None:
        return Photographs(own, groups)
    further = material.photographs
    return Photographs(np.concatenate([own, further.pixels]), [*groups, *further.groups])


def _drawing(pairs: PhotographsRecipe | PhotographsStageRecipe, steps: int, seed: int) -> PairDrawing:
    return PairDrawing(pairs.batch, steps, seed, pairs.several, pairs.together)


def _variations(pairs: PhotographsRecipe | PhotographsStageRecipe) -> Variations:
    return Variations(closest=pairs.closest, light=pairs.light)
