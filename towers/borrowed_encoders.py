"""One recipe's system on another recipe's encoders: MAKE on MiniLM, for a real catalogue.

The recipes of the four systems start from scratch, which suits a shop of the sample shop's size. On a
real catalogue a pretrained text encoder knows far more words than any click log holds.
"""

from __future__ import annotations

from faults import InvalidInput
from towers.recipe import Recipe
from towers.stage_recipes import (
    DistillationStageRecipe,
    RetrievalStageRecipe,
    SameStyleStageRecipe,
    StageRecipe,
)


def on_encoders_of(base: Recipe, recipe: Recipe) -> Recipe:
    """Returns ``recipe`` with the encoders, the lengths and the rates of ``base``.

    Fusion network, keywords, sharing, pictures a product and stages stay the recipe's own. ``base``'s
    stages before its retrieval stage (in which a fresh picture encoder learns alone) come first. The
    stages take batch and learning rates from that retrieval stage: they belong to the encoders.

    Args:
        base: whose encoders; it has a retrieval stage.
        recipe: which system.

    Raises:
        InvalidInput: ``base`` has no retrieval stage, or ``recipe`` is distilled from a teacher, whose
            encoders it takes.
    """
    places = [place for place, stage in enumerate(base.stages) if isinstance(stage, RetrievalStageRecipe)]
    if not places:
        raise InvalidInput(
            "has no retrieval stage, so it does not say how its encoders are trained",
            field="--encoders",
            value=base.name,
            fix="Name another recipe, such as catalogue.",
        )
    if any(isinstance(stage, DistillationStageRecipe) for stage in recipe.stages):
        raise InvalidInput(
            "a distilled query tower takes its teacher's encoders",
            field="--encoders",
            value=base.name,
            fix="Leave --encoders out and name the --teacher.",
        )
    usual = base.stages[places[0]]
    assert isinstance(usual, RetrievalStageRecipe)
    pictures = {"views": recipe.image.views, "pooling": recipe.image.pooling}
    return recipe.model_copy(
        update={
            "dim": base.dim,
            "max_query_tokens": base.max_query_tokens,
            "max_product_tokens": base.max_product_tokens,
            "bfloat16": base.bfloat16,
            "text": base.text.model_copy(update={"shared": recipe.text.shared}),
            "query": None,
            "image": base.image.model_copy(update=pictures),
            "stages": (*base.stages[: places[0]], *(_at_the_rates_of(usual, one) for one in recipe.stages)),
        }
    )


def _at_the_rates_of(usual: RetrievalStageRecipe, stage: StageRecipe) -> StageRecipe:
    rates = {
        "learning_rate": usual.learning_rate,
        "text_learning_rate": usual.text_learning_rate,
        "image_learning_rate": usual.image_learning_rate,
    }
    if isinstance(stage, RetrievalStageRecipe):
        sizes = {"batch": usual.batch, "queries_each": usual.queries_each}
        return stage.model_copy(update={**rates, **sizes})
    if isinstance(stage, SameStyleStageRecipe):
        return stage.model_copy(update={**rates, "batch": usual.batch // 2})
    return stage
