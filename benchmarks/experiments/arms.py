"""An arm: one way to build and train towers, which rows compare with each other.

It is a recipe file with changes, and the data it learns from. Arms have names, and rows ask for them by
name, so that an arm which several rows need is trained once.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from pydantic import ValidationError

from benchmarks.experiments.scale import Scale
from benchmarks.experiments.variants import Variant
from faults import InvalidInput
from towers.recipe import Recipe

__all__ = ["TRAINING_VERSION", "Arm", "merged", "recipe_of", "training_key"]

TRAINING_VERSION = 1
"""Raise it when the towers' code changes what a training gives: every arm is then trained anew. A hash of
that code would do so at every touch of a comment; it is recorded beside the results instead."""


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        name: unique.
        says: what it is, for the tables.
        base: name of a recipe in ``benchmarks/experiments/recipes``.
        changes: merged into that recipe; see ``merged``.
        data: what it learns from.
        devices: 2 trains as two devices would that tell each other nothing but gradients: the products
            of one half of a batch are no negatives for the other half's queries.
    """

    name: str
    says: str
    base: str = "base"
    changes: Mapping[str, Any] = field(default_factory=dict)
    data: Variant = field(default_factory=Variant)
    devices: int = 1


def recipe_of(arm: Arm, scale: Scale, seed: int) -> Recipe:
    """Returns the arm's recipe at a scale and seed.

    Raises:
        InvalidInput: the recipe does not validate; the towers may lack what the arm is about.
    """
    base = merged(_recipe_file(arm.base), scale.changes)
    data: dict[str, Any] = merged(base, arm.changes)
    data = {**data, "name": arm.name, "seed": seed}
    data["stages"] = [
        {**stage, "steps": min(stage["steps"], scale.steps), "batch": min(stage["batch"], scale.batch)}
        for stage in data["stages"]
    ]
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"the recipe of arm {arm.name} does not validate: {first['msg']}",
            field=name,
            value=first["input"],
        ) from error


@cache
def _recipe_file(name: str) -> dict[str, Any]:
    """Read once: it may be edited while a long run goes on with what it began with."""
    path = resources.files("benchmarks.experiments") / "recipes" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def merged(base: Any, changes: Any) -> Any:
    """Returns ``base`` with ``changes`` laid over it.

    Tables are merged key by key. A list is merged with a table whose keys are places in it (``{0:
    {"margin": 0.1}}``, ``-1`` for the last), and replaced by anything else.
    """
    if isinstance(base, Mapping) and isinstance(changes, Mapping):
        return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}
    if isinstance(base, list) and isinstance(changes, Mapping):
        result = list(base)
        for place, value in changes.items():
            result[place] = merged(result[place], value)
        return result
    return changes


def training_key(arm: Arm, recipe: Recipe, scale: Scale) -> str:
    """Names a training by all that decides it, the seed included, as 16 hex digits.

    The arm's name is no part of it: two arms that are the same are trained once.
    """
    decides = {
        "version": TRAINING_VERSION,
        "recipe": {**recipe.model_dump(mode="json"), "name": ""},
        "data": asdict(arm.data),
        "devices": arm.devices,
        "products": [scale.train_products, scale.test_products],
        **({"catalogue": scale.catalogue} if scale.catalogue else {}),
    }
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
