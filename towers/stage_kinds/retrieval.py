"""The retrieval stage: both towers learn from the click log.

In-batch softmax between queries and products, for the fused vector and for each modality alone, and
what further tasks the recipe adds. Without the fused term it is the alignment that "Beyond Text"
(arXiv 2603.04836) has before its fusion network; with ``learns = "fusion"`` it is what follows.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from faults import InvalidInput
from towers.build import Towers
from towers.data.examples import Batch, Drawing
from towers.data.material import Material
from towers.objectives.softmax import in_batch_softmax, modality_terms
from towers.objectives.term import Forward
from towers.recipe import Recipe
from towers.stage_kinds.rates import free_weights
from towers.stage_kinds.retrieval_terms import Memory, memory_of, terms_of
from towers.stage_recipes import RetrievalStageRecipe
from towers.towers import FusedTower, ProductViews
from towers.training.distributed import gather, shard
from towers.training.loop import ParameterGroup, Stage


def retrieval_stage(
    stage: RetrievalStageRecipe, recipe: Recipe, towers: Towers, material: Material
) -> Stage[Batch]:
    """Returns the stage that trains all weights which the recipe leaves free.

    Raises:
        InvalidInput: only the fusion network is to learn, and the towers have none.
    """
    drawing = drawing_of(stage, recipe)
    terms = terms_of(stage, recipe, towers)
    memory = memory_of(stage, recipe, towers, material.examples)

    def batches(skip: int) -> Iterator[Batch]:
        return material.examples.batches(drawing, skip)

    def loss(towers: Towers, batch: Batch) -> dict[str, Tensor]:
        # Of several processes each encodes its block, and what compares products sees them all.
        own = forward(towers, shard(batch), recipe.bfloat16)
        whole = gathered(own, batch)
        return _in_batch(whole, stage, memory) | {
            term.name: weight * term(towers, own) for weight, term in terms
        }

    return Stage(
        name=stage.name or stage.kind,
        steps=stage.steps,
        groups=_groups(stage, towers),
        batches=batches,
        loss=loss,
        warmup=stage.warmup,
        weight_decay=stage.weight_decay,
    )


def drawing_of(stage: RetrievalStageRecipe, recipe: Recipe) -> Drawing:
    """Returns how the stage's batches are drawn."""
    return Drawing(
        products=stage.batch,
        queries_each=stage.queries_each,
        steps=stage.steps,
        seed=recipe.seed,
        modality_dropout=stage.modality_dropout,
        keyword_dropout=1.0 if recipe.keywords is None else recipe.keywords.dropout,
        keyword_mask=stage.keyword_mask,
        typos=stage.typos,
        spoiling=stage.spoiling,
    )


def _groups(stage: RetrievalStageRecipe, towers: Towers) -> tuple[ParameterGroup, ...]:
    """Encoders have rates of their own: a pretrained one is tuned, not trained anew."""
    product = towers.product
    if stage.learns == "fusion":
        if not isinstance(product, FusedTower) or not any(True for _ in product.fusion.parameters()):
            raise InvalidInput(
                "these towers have no fusion network to train alone",
                field="recipe.stages.learns",
                value=stage.learns,
                fix='Choose another fusion.kind, or learns = "all".',
            )
        return (ParameterGroup(tuple(product.fusion.parameters()), stage.learning_rate),)
    return free_weights(towers, stage)


def forward(towers: Towers, batch: Batch, bfloat16: bool) -> Forward:
    """Runs both towers on a batch."""
    with torch.autocast(batch.target.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        queries, query = towers.query.encode(batch.query_ids, batch.query_mask)
        products, encoding = towers.product.encode(
            batch.product_ids, batch.product_mask, batch.pixels, batch.has_text, batch.has_image
        )
    return Forward(batch, queries, query, products, encoding)


def gathered(own: Forward, batch: Batch) -> Forward:
    """Joins the vectors of all processes to those of the whole batch; tokens and places stay this one's."""
    products = ProductViews(*(gather(view) for view in own.products))
    return own._replace(batch=batch, queries=gather(own.queries), products=products)


def _fit_to_teach_alone(batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns bool[P] twice: which products have good words, good pictures."""
    has_text, has_image = batch.has_text[:, 0], batch.has_image.any(dim=1)
    if batch.spoilt is None:
        return has_text, has_image
    return has_text & ~batch.spoilt[:, 0], has_image & ~batch.spoilt[:, 1]


def _in_batch(found: Forward, stage: RetrievalStageRecipe, memory: Memory | None) -> dict[str, Tensor]:
    batch = found.batch
    losses: dict[str, Tensor] = {}
    if stage.fused_weight:
        fused = in_batch_softmax(
            found.queries,
            found.products.fused,
            batch.target,
            batch.known,
            stage.scale,
            stage.margin,
            None if memory is None else memory.negatives(found),
        )
        losses["fused"] = stage.fused_weight * fused
    if stage.modality_weight:
        has_text, has_image = _fit_to_teach_alone(batch)
        text, image = modality_terms(
            found.queries,
            found.products,
            has_text,
            has_image,
            batch.target,
            batch.known,
            stage.scale,
            stage.margin,
        )
        losses |= {"text": stage.modality_weight * text, "image": stage.modality_weight * image}
    return losses
