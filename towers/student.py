"""A student pair: a small query tower of its own beside the teacher's product tower.

An index holds what the product tower says, so a query tower that gives nearly the teacher's vectors can
take its place without embedding a product anew. Tokenizer, limits and keywords stay the teacher's: they
belong to both towers of a release.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from faults import InvalidInput
from towers.build import Towers, rebuild_towers, sizes_of
from towers.checkpoint import Checkpoint
from towers.encoders.text_encoder import TextEncoderConfig
from towers.recipe import QueryRecipe, Recipe
from towers.stage_recipes import DistillationStageRecipe


def student_recipe(recipe: Recipe, teacher: Recipe) -> Recipe:
    """Returns the recipe of the pair: the teacher's, with the query tower and the stage of ``recipe``.

    Args:
        recipe: with a ``[query]`` and a distillation stage alone; what it says of texts, pictures and
            their fusion is not read.
        teacher: of the checkpoint to learn from.

    Raises:
        InvalidInput: ``recipe`` has no such parts.
    """
    _require_query(recipe)
    if len(recipe.stages) != 1 or not isinstance(recipe.stages[0], DistillationStageRecipe):
        raise InvalidInput(
            "a teacher is for a recipe with a distillation stage alone: its product tower stays as it is",
            field="recipe.stages",
            value=[stage.kind for stage in recipe.stages],
            fix="Train without --teacher, or name such a recipe (distilled).",
        )
    return teacher.model_copy(
        update={
            "name": recipe.name,
            "seed": recipe.seed,
            "bfloat16": recipe.bfloat16,
            "query": recipe.query,
            "stages": recipe.stages,
            "text": teacher.text.model_copy(update={"shared": False}),
        }
    )


def student_towers(recipe: Recipe, teacher: Checkpoint) -> Towers:
    """Builds the pair for a first training: a copy of the teacher's product tower, a fresh query tower.

    The small encoder's words begin as the teacher's, seen from the directions in which those differ most
    (principal components): a word that no query of the training has is then no noise. [DESIGN]

    Args:
        recipe: what ``student_recipe`` gave.
        teacher: whose product tower and tokenizer are taken.
    """
    query, words = _require_query(recipe), teacher.towers.query.encoder.tokens.weight.detach()
    sizes = TextEncoderConfig(
        vocabulary=len(words),
        width=query.width,
        layers=query.layers,
        heads=query.heads,
        feedforward=4 * query.width,
        positions=recipe.max_query_tokens,
    )
    both = replace(sizes_of(teacher.towers), query=sizes)
    towers = rebuild_towers(recipe, teacher.towers.tokenizer, both)
    towers.product.load_state_dict(teacher.towers.product.state_dict())
    with torch.no_grad():
        towers.query.encoder.tokens.weight.copy_(principal_components(words, query.width))
    return towers


def fingerprint(teacher: Checkpoint) -> str:
    """Returns a SHA-256 (hex) of the teacher's query weights: another teacher is another training."""
    whole = hashlib.sha256()
    for name, value in teacher.towers.query.state_dict().items():
        whole.update(name.encode() + b"\x00" + value.contiguous().numpy().tobytes())
    return whole.hexdigest()


def principal_components(table: Tensor, width: int) -> Tensor:
    """Maps float[N,D] to float[N,width] that keeps the rows' distances as well as ``width`` numbers can.

    Where ``width`` is larger than D the rest is zeros.
    """
    centred = (table - table.mean(dim=0)).double()
    _, directions = torch.linalg.eigh(centred.T @ centred)  # by rising share of the variance
    kept = centred @ directions.flip(1)[:, :width]
    return torch.nn.functional.pad(kept, (0, width - kept.shape[1])).to(table.dtype)


def _require_query(recipe: Recipe) -> QueryRecipe:
    if recipe.query is None:
        raise InvalidInput(
            "a student needs a query encoder of its own",
            field="recipe.query",
            value=None,
            fix="Add a [query] table with layers, width and heads.",
        )
    return recipe.query
