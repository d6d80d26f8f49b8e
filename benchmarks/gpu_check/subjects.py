"""The towers under test: a small pair as the sample recipe builds it, and a pair of MiniLM's size.

Speed does not depend on what the weights are, so fresh ones do. A checkpoint of one's own
takes the place of the pair of the same recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from catalog.tokenizer import train_tokenizer
from faults import NotFound
from towers.build import Sizes, Towers, build_towers, rebuild_towers
from towers.checkpoint import Checkpoint, Provenance, load_checkpoint
from towers.encoders.text_encoder import TextEncoderConfig
from towers.recipe import Recipe, load_recipe

RECIPES = ("sample", "catalogue")
TOWERS = ("query_tower", "product_tower")

MINILM_SIZES = TextEncoderConfig(
    vocabulary=30522, width=384, layers=6, heads=12, feedforward=1536, positions=512
)
"""all-MiniLM-L6-v2's, from its config.json: for machines without the package that carries it."""

TEXTS = (
    "red striped mug",
    "ceramic plate with blue rim",
    "oak chair for the kitchen table",
    "men's running shoes size 42",
    "waterproof jacket with hood, olive",
    "desk lamp, brass, dimmable",
    "cotton bed sheet 140x200 white",
    "M6x30 hexagon bolt DIN 933 stainless",
    "gift for a coffee lover",
    "large rug with zigzag pattern in grey and yellow",
)
"""Ordinary texts: the tokenizer is learned from them, and the gate reads them beside its hostile ones."""


@dataclass(frozen=True)
class Subject:
    """A pair of towers and where its weights come from."""

    checkpoint: Checkpoint
    weights: str

    def longest(self, tower: str) -> int:
        """Returns how many tokens a tower can take: what its position table holds."""
        towers = self.checkpoint.towers
        encoder = towers.query.encoder if tower == "query_tower" else towers.product.encoder
        return encoder.config.positions

    def module(self, tower: str) -> torch.nn.Module:
        """Returns the query tower or the product tower."""
        towers = self.checkpoint.towers
        return towers.query if tower == "query_tower" else towers.product

    def inputs(self, tower: str, batch: int, length: int, device: str) -> tuple[Tensor, ...]:
        """Returns full-length inputs of one shape, seeded; see ``ProductTower.forward`` for the tensors."""
        source = torch.Generator().manual_seed(batch * 1000 + length)
        vocabulary = self.checkpoint.towers.query.encoder.config.vocabulary
        ids = torch.randint(5, vocabulary, (batch, length), generator=source)
        words = (ids, torch.ones_like(ids))
        if tower == "query_tower":
            return tuple(tensor.to(device) for tensor in words)
        image = self.checkpoint.recipe.image
        shape = (batch, image.views, image.size, image.size, 3)
        pixels = torch.randint(0, 256, shape, generator=source, dtype=torch.uint8)
        flags = (torch.ones(batch, 1, dtype=torch.bool), torch.ones(batch, image.views, dtype=torch.bool))
        return tuple(tensor.to(device) for tensor in (*words, pixels, *flags))


def make_subject(recipe_name: str, checkpoints: Sequence[Path], longest: int) -> Subject:
    """Returns the pair of a recipe: from a checkpoint if one is of that recipe, else fresh.

    Args:
        recipe_name: one of towers' recipes.
        checkpoints: folders that ``vitrine train`` wrote.
        longest: fresh towers take this many tokens, so that every length can be measured.

    Raises:
        faults.NotFound, faults.InvalidInput, faults.Mismatch: see ``load_checkpoint``.
    """
    for folder in checkpoints:
        checkpoint = load_checkpoint(folder)
        if checkpoint.recipe.name == recipe_name:
            return Subject(checkpoint, f"checkpoint {folder.name}")
    recipe = load_recipe(recipe_name).model_copy(
        update={"max_query_tokens": longest, "max_product_tokens": longest}
    )
    torch.manual_seed(0)
    towers, weights = fresh_towers(recipe)
    towers.train(False)
    origin = Provenance("make gpu-check", "", "none: not trained", 0, 0)
    return Subject(Checkpoint(towers, recipe, origin), weights)


def fresh_towers(recipe: Recipe) -> tuple[Towers, str]:
    """Builds untrained towers of a recipe's sizes, and says what is in them."""
    if recipe.text.initialise == "minilm":
        try:
            return build_towers(recipe, ()), "text encoders MiniLM, the rest random"
        except NotFound:
            return _of_size(recipe, MINILM_SIZES), "random, of MiniLM's size (its package is not installed)"
    text = recipe.text
    sizes = TextEncoderConfig(
        vocabulary=text.vocabulary,
        width=text.width,
        layers=text.layers,
        heads=text.heads,
        feedforward=4 * text.width,
        positions=max(recipe.max_query_tokens, recipe.max_product_tokens),
    )
    return _of_size(recipe, sizes), "random"


def _of_size(recipe: Recipe, sizes: TextEncoderConfig) -> Towers:
    tokenizer = train_tokenizer(TEXTS, min(sizes.vocabulary, 1000))
    return rebuild_towers(recipe, tokenizer, Sizes(sizes, sizes))


def describe(subject: Subject) -> Mapping[str, object]:
    """Returns sizes and origin, as they stand in the result."""
    recipe, sizes = subject.checkpoint.recipe, subject.checkpoint.towers.query.encoder.config
    return {
        "recipe": recipe.name,
        "weights": subject.weights,
        "layers": sizes.layers,
        "width": sizes.width,
        "vocabulary": sizes.vocabulary,
        "dim": recipe.dim,
        "picture_size": recipe.image.size,
        "parameters": {
            tower: sum(parameter.numel() for parameter in subject.module(tower).parameters())
            for tower in TOWERS
        },
    }
