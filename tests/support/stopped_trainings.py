"""Trainings of the tiny shop that stop where a test wants it, and go on."""

from pathlib import Path

import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch import Tensor

from catalog.schema import Click
from towers.build import Towers
from towers.recipe import Recipe
from towers.training.loop import Step
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train
from towers.training.validation import Validation

CATALOGUE = tiny_catalogue()
CLICKS = tiny_clicks(CATALOGUE)
RECIPE = tiny_recipe(retrieval={"steps": 6, "modality_dropout": 0.3})


class Stopped(Exception):
    """What ends a training here."""


class Shop:
    """Trains on the tiny shop with its progress in a folder, and hears what is said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".towers.progress"
        self.file = self.folder / "progress.safetensors"
        self.said: list[str] = []
        self.steps: list[int] = []

    def train(
        self,
        recipe: Recipe = RECIPE,
        clicks: list[Click] = CLICKS,
        stop_after: int = 0,
        every: int = 1,
        fresh: bool = False,
        known: dict[str, str] | None = None,
        validation: Validation | None = None,
    ) -> Trained:
        """Trains, and stops after a step if wanted."""
        self.said.clear()
        self.steps.clear()

        def on_step(step: Step) -> None:
            self.steps.append(step.number)
            if step.number == stop_after:
                raise Stopped

        progress = ProgressFolder(self.folder, self.said.append, known, every_steps=every, fresh=fresh)
        pictures = tiny_pictures(CATALOGUE)
        return train(recipe, CATALOGUE, clicks, pictures, on_step, progress, validation=validation)

    def stopped(self, after: int, **changes: object) -> None:
        """Trains until a step."""
        with pytest.raises(Stopped):
            self.train(stop_after=after, **changes)  # type: ignore[arg-type]


def uninterrupted(validation: Validation | None = None) -> Trained:
    """Trains without a progress."""
    return train(RECIPE, CATALOGUE, CLICKS, tiny_pictures(CATALOGUE), validation=validation)


def weights(towers: Towers) -> dict[str, Tensor]:
    """All weights, by name."""
    return {
        f"{name}.{key}": value
        for name, tower in (("query", towers.query), ("product", towers.product))
        for key, value in tower.state_dict().items()
    }


def same(one: Trained, two: Trained) -> bool:
    """Two trainings ended in the same bits, by the same losses."""
    first, second = weights(one.towers), weights(two.towers)
    equal = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    return equal and one.history == two.history
