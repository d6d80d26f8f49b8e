"""A training on two devices that do not share their negatives, rehearsed in one process.

Without gathering, a device's loss knows its own block of the batch, and the gradients are averaged. The
mean of the losses of both blocks has that very gradient (BatchNorm apart, whose statistics are each
block's own there and here), so no second process is needed to learn what gathering is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.schema import Click
from towers.build import Towers, build_towers
from towers.data.examples import Batch, make_examples
from towers.data.material import Material
from towers.recipe import Recipe
from towers.stage_kinds.kinds import stages_of
from towers.training.loop import Stage, run_stages
from towers.training.train import Trained

__all__ = ["halves", "train_on_halves"]


def train_on_halves(
    recipe: Recipe, catalogue: Catalogue, clicks: Sequence[Click], pictures: DecodedPictures
) -> Trained:
    """Trains a recipe of retrieval stages; like ``towers.training.train.train``, but for the negatives."""
    torch.manual_seed(recipe.seed)
    texts = [product.indexed_text() for product in catalogue.products] + [click.query for click in clicks]
    towers = build_towers(recipe, texts)
    examples = make_examples(
        catalogue, clicks, pictures, towers.tokenizer, recipe.max_query_tokens, recipe.max_product_tokens
    )
    stages = [_apart(stage) for stage in stages_of(recipe, towers, Material(catalogue, examples))]
    losses = run_stages(stages, towers, lambda _: None, lambda _: None)
    towers.train(False)
    history = {stage.name: part for stage, part in zip(stages, losses, strict=True)}
    return Trained(towers, examples.pairs, history)


def _apart(stage: Stage[Batch]) -> Stage[Batch]:
    def loss(towers: Towers, batch: Batch) -> dict[str, Tensor]:
        parts = [stage.loss(towers, half) for half in halves(batch)]
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}

    return replace(stage, loss=loss)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Returns the first and the second half of a batch's products, each with its own queries."""
    middle = len(batch.product_rows) // 2
    return _part(batch, slice(0, middle)), _part(batch, slice(middle, None))


def _part(batch: Batch, rows: slice) -> Batch:
    start, stop, _ = rows.indices(len(batch.product_rows))
    asking = (batch.target >= start) & (batch.target < stop)
    return Batch(
        query_ids=batch.query_ids[asking],
        query_mask=batch.query_mask[asking],
        product_ids=batch.product_ids[rows],
        product_mask=batch.product_mask[rows],
        pixels=batch.pixels[rows],
        has_text=batch.has_text[rows],
        has_image=batch.has_image[rows],
        target=batch.target[asking] - start,
        known=batch.known[asking][:, rows],
        query_rows=batch.query_rows[asking],
        product_rows=batch.product_rows[rows],
    )
