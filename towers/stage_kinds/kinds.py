"""The kinds of stages by the names that recipes give them, and a recipe's stages in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from towers.build import Towers
from towers.data.material import Material
from towers.recipe import Recipe
from towers.stage_kinds.distillation import distillation_stage
from towers.stage_kinds.photographs import photographs_stage, with_photographs
from towers.stage_kinds.pictures import pictures_stage
from towers.stage_kinds.retrieval import retrieval_stage
from towers.stage_kinds.same_style import same_style_stage
from towers.stage_recipes import PhotographsRecipe, StageRecipe
from towers.training.loop import Stage

_BUILDERS: Mapping[str, Callable[[Any, Recipe, Towers, Material], Stage[Any]]] = {
    "distillation": distillation_stage,
    "photographs": photographs_stage,
    "pictures": pictures_stage,
    "retrieval": retrieval_stage,
    "same_style": same_style_stage,
}
"""By the ``kind`` of a recipe's stage."""


def stages_of(recipe: Recipe, towers: Towers, material: Material) -> tuple[Stage[Any], ...]:
    """Returns the stages of a recipe's training, in their order; they may add to ``towers.heads``."""
    stages = [_stage_of(stage, recipe, towers, material) for stage in recipe.stages]
    seen: Counter[str] = Counter()
    for place, stage in enumerate(stages):
        seen[stage.name] += 1
        if seen[stage.name] > 1:  # curves and messages need a name for each
            stages[place] = replace(stage, name=f"{stage.name} {seen[stage.name]}")
    return tuple(stages)


def _stage_of(stage: StageRecipe, recipe: Recipe, towers: Towers, material: Material) -> Stage[Any]:
    built = _BUILDERS[stage.kind](stage, recipe, towers, material)
    beside: PhotographsRecipe | None = getattr(stage, "photographs", None)
    return built if beside is None else with_photographs(built, beside, recipe, material)


def steps_of(recipe: Recipe) -> int:
    """Returns the steps of all stages of a recipe's training."""
    return sum(stage.steps for stage in recipe.stages)
