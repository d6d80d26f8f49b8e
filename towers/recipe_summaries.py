"""The recipes that come with Vitrine, each in a line: what ``vitrine train --list-recipes`` shows."""

from __future__ import annotations

import itertools
from importlib import resources

from towers.recipe import recipe_names


def recipe_summaries() -> dict[str, str]:
    """Returns, by name, the first sentence of the comment that a recipe's file begins with, or nothing."""
    folder = resources.files("towers") / "recipes"
    return {name: _summary((folder / f"{name}.toml").read_text(encoding="utf-8")) for name in recipe_names()}


def _summary(text: str) -> str:
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    words = " ".join(line.removeprefix("#").strip() for line in comment)
    return words.partition(". ")[0].removesuffix(".")
