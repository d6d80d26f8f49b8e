"""Trains a pair of towers on a catalogue and a click log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.schema import Click
from faults import InternalError
from towers.build import Towers, build_towers
from towers.examples import Batch, Examples, make_examples
from towers.objective import two_tower_loss
from towers.recipe import Recipe, TrainingRecipe


@dataclass(frozen=True)
class Step:
    """What a progress display learns after each step."""

    number: int
    of: int
    loss: float


@dataclass(frozen=True)
class Trained:
    """The result of a training, in evaluation mode."""

    towers: Towers
    clicked_pairs: int
    losses: tuple[float, ...]


def train(
    recipe: Recipe,
    catalogue: Catalogue,
    clicks: Sequence[Click],
    pictures: DecodedPictures,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Trained:
    """Trains towers; the same arguments on the same machine give the same towers.

    Args:
        recipe: what to build and how to train it.
        catalogue: the products to learn from.
        clicks: the click log; it may name no other product.
        pictures: the catalogue's pictures at the recipe's size, row by row.
        on_step: called after every step.

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
    losses = _fit(towers, examples, recipe.training, on_step)
    towers.train(False)
    return Trained(towers, examples.pairs, _tenths(losses))


def _fit(
    towers: Towers, examples: Examples, schedule: TrainingRecipe, on_step: Callable[[Step], None]
) -> list[float]:
    towers.train(True)
    optimizer = torch.optim.AdamW(_parameter_groups(towers, schedule), weight_decay=schedule.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate_at(step, schedule))
    losses: list[float] = []
    batches = examples.batches(
        schedule.batch, schedule.queries_each, schedule.steps, schedule.modality_dropout, schedule.seed
    )
    for number, batch in enumerate(batches, start=1):
        loss = _loss(towers, batch, schedule)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(_trainable(towers), 1.0)
        optimizer.step()
        rate.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise InternalError(
                f"the loss is {losses[-1]} at step {number}",
                fix="Lower training.learning_rate in the recipe.",
            )
        on_step(Step(number, schedule.steps, losses[-1]))
    return losses


def _loss(towers: Towers, batch: Batch, schedule: TrainingRecipe) -> torch.Tensor:
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


def _trainable(towers: Towers) -> list[torch.nn.Parameter]:
    return [
        parameter
        for tower in (towers.query, towers.product)
        for parameter in tower.parameters()
        if parameter.requires_grad
    ]


def _parameter_groups(towers: Towers, schedule: TrainingRecipe) -> list[dict[str, object]]:
    """The text encoders have a rate of their own: a pretrained one is tuned, not trained anew."""
    encoders = {id(p) for tower in (towers.query, towers.product) for p in tower.encoder.parameters()}
    parameters = _trainable(towers)
    return [
        {"params": [p for p in parameters if id(p) in encoders], "lr": schedule.text_learning_rate},
        {"params": [p for p in parameters if id(p) not in encoders], "lr": schedule.learning_rate},
    ]


def _rate_at(step: int, schedule: TrainingRecipe) -> float:
    """Linear warm-up, then half a cosine down to 2 % of the peak."""
    warm = max(1, round(schedule.warmup * schedule.steps))
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, schedule.steps - warm)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def _tenths(losses: Iterable[float]) -> tuple[float, ...]:
    """Mean loss of each tenth of the training, for the checkpoint's provenance."""
    values = list(losses)
    size = max(1, math.ceil(len(values) / 10))
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return tuple(round(sum(part) / len(part), 4) for part in parts)
