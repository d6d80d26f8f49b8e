"""The joint stage: both towers learn from the click log."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from towers.build import Towers
from towers.data.examples import Batch, Examples
from towers.objectives.softmax import two_tower_loss
from towers.recipe import TrainingRecipe
from towers.training.loop import ParameterGroup, Stage


def joint_stage(schedule: TrainingRecipe, towers: Towers, examples: Examples) -> Stage[Batch]:
    """Returns the stage that trains all weights which the recipe leaves free."""

    def batches(skip: int) -> Iterator[Batch]:
        return examples.batches(
            schedule.batch,
            schedule.queries_each,
            schedule.steps,
            schedule.modality_dropout,
            schedule.seed,
            skip,
        )

    return Stage(
        name="joint",
        steps=schedule.steps,
        groups=_groups(towers, schedule),
        batches=batches,
        loss=lambda towers, batch: _loss(towers, batch, schedule),
        warmup=schedule.warmup,
        weight_decay=schedule.weight_decay,
    )


def _groups(towers: Towers, schedule: TrainingRecipe) -> tuple[ParameterGroup, ...]:
    """The text encoders have a rate of their own: a pretrained one is tuned, not trained anew."""
    both = (towers.query, towers.product)
    encoders = {id(parameter) for tower in both for parameter in tower.encoder.parameters()}
    free = [parameter for tower in both for parameter in tower.parameters() if parameter.requires_grad]
    return (
        ParameterGroup(tuple(p for p in free if id(p) in encoders), schedule.text_learning_rate),
        ParameterGroup(tuple(p for p in free if id(p) not in encoders), schedule.learning_rate),
    )


def _loss(towers: Towers, batch: Batch, schedule: TrainingRecipe) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=schedule.bfloat16):
        queries = towers.query(batch.query_ids, batch.query_mask)
        products = towers.product.views(
            batch.product_ids, batch.product_mask, batch.pixels, batch.has_text, batch.has_image
        )
    return two_tower_loss(
        queries,
        products,
        batch.has_text[:, 0],
        batch.has_image.any(dim=1),
        batch.target,
        batch.known,
        schedule.scale,
        schedule.modality_weight,
    )
