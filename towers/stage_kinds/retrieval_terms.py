"""The further tasks of a retrieval stage, by the fields of its recipe."""

from __future__ import annotations

from towers.build import Towers
from towers.objectives.term import Term
from towers.recipe import Recipe
from towers.stage_recipes import RetrievalStageRecipe

WeightedTerm = tuple[float, Term]


def terms_of(stage: RetrievalStageRecipe, recipe: Recipe, towers: Towers) -> tuple[WeightedTerm, ...]:
    """Returns the stage's terms with their weights, and adds to ``towers.heads`` what they need."""
    return ()
