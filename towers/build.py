"""Builds untrained (or pretrained) towers and their tokenizer from a recipe."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from catalog.tokenizer import Tokenizer, train_tokenizer
from faults import InvalidInput
from towers.encoders.picture_encoder import PictureEncoder
from towers.encoders.picture_kinds import build_picture_encoder, sizes_of_pictures
from towers.encoders.pretrained import load_text_encoder, load_tokenizer, minilm_folder
from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig
from towers.encoders.vision_transformer import VisionTransformerConfig
from towers.fusion.kinds import FUSIONS
from towers.recipe import QueryRecipe, Recipe, TextRecipe
from towers.towers import FusedTower, ProductTower, QueryTower, SingleStreamTower


@dataclass(frozen=True)
class Towers:
    """A query tower, a product tower and the tokenizer both read."""

    query: QueryTower
    product: ProductTower
    tokenizer: Tokenizer
    heads: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    """What only training needs (predictors, memory banks), by the name of the term: never exported."""

    def train(self, mode: bool) -> None:
        """Switches all to training or evaluation mode."""
        for module in self.modules():
            module.train(mode)

    @property
    def device(self) -> torch.device:
        """Where the weights lie, and where what they are given must lie."""
        return next(self.query.parameters()).device

    def modules(self) -> tuple[nn.Module, ...]:
        """Query tower, product tower and heads."""
        return self.query, self.product, self.heads

    def parameters(self) -> list[nn.Parameter]:
        """All weights, each once, in a fixed order: the towers may share an encoder."""
        every = (parameter for module in self.modules() for parameter in module.parameters())
        return list({id(parameter): parameter for parameter in every}.values())


@dataclass(frozen=True)
class Sizes:
    """What a recipe leaves to a pretrained folder; a checkpoint keeps it, for the folder may be gone."""

    query: TextEncoderConfig
    product: TextEncoderConfig
    pictures: VisionTransformerConfig | None = None
    """None where the recipe says it all."""


def sizes_of(towers: Towers) -> Sizes:
    """Returns the sizes of a pair's encoders."""
    query, product = towers.query, towers.product
    return Sizes(query.encoder.config, product.encoder.config, sizes_of_pictures(product.image_encoder))


def build_towers(recipe: Recipe, texts: Iterable[str]) -> Towers:
    """Builds towers for a first training.

    Args:
        recipe: what to build.
        texts: from which a tokenizer is learned where the recipe starts from scratch.

    Raises:
        InvalidInput: a field of the recipe does not fit the pretrained encoder, or names no checkpoint.
        NotFound: the MiniLM package is not installed.
    """
    if recipe.text.initialise == "scratch":
        tokenizer = train_tokenizer(texts, recipe.text.vocabulary)
        product = TextEncoder(_scratch_config(recipe, tokenizer.vocabulary_size, recipe.text))
    else:
        folder = minilm_folder() if recipe.text.initialise == "minilm" else Path(recipe.text.initialise)
        tokenizer = load_tokenizer(folder)
        product = _pretrained(recipe, folder)
    query = _query_encoder(recipe, product)
    return assemble(recipe, tokenizer, product, query, build_picture_encoder(recipe.image))


def rebuild_towers(recipe: Recipe, tokenizer: Tokenizer, sizes: Sizes) -> Towers:
    """Builds empty towers of known sizes, to be filled from a checkpoint."""
    product = TextEncoder(sizes.product)
    query = product if recipe.text.shared else TextEncoder(sizes.query)
    return assemble(recipe, tokenizer, product, query, build_picture_encoder(recipe.image, sizes.pictures))


def assemble(
    recipe: Recipe, tokenizer: Tokenizer, product: TextEncoder, query: TextEncoder, pictures: PictureEncoder
) -> Towers:
    """Puts towers together around two text encoders, which may be one and the same, and pictures'."""
    for encoder, name in ((product, "max_product_tokens"), (query, "max_query_tokens")):
        longest = getattr(recipe, name)
        if longest > encoder.config.positions:
            raise InvalidInput(
                "longer than the text encoder has positions",
                field=f"recipe.{name}",
                value=longest,
                fix=f"Use at most {encoder.config.positions}.",
            )
    if recipe.fusion.kind == "single_stream":
        single = SingleStreamTower(product, pictures, recipe.dim)
        project = single.project if recipe.text.shared else None
        return Towers(QueryTower(query, recipe.dim, project), single, tokenizer)
    fusion = FUSIONS[recipe.fusion.kind](recipe.dim, product.config.width, pictures.width)
    return Towers(QueryTower(query, recipe.dim), FusedTower(product, pictures, fusion), tokenizer)


def _query_encoder(recipe: Recipe, product: TextEncoder) -> TextEncoder:
    """The query's encoder: the product's own, one like it with weights of its own, or a small one."""
    if recipe.text.shared:
        return product
    if recipe.query is not None:
        return TextEncoder(_scratch_config(recipe, product.config.vocabulary, recipe.query))
    if recipe.text.initialise == "scratch":
        return TextEncoder(product.config)
    return copy.deepcopy(product)


def _pretrained(recipe: Recipe, folder: Path) -> TextEncoder:
    encoder = load_text_encoder(folder)
    if recipe.text.trainable_layers > encoder.config.layers:
        raise InvalidInput(
            "more than the text encoder has layers",
            field="recipe.text.trainable_layers",
            value=recipe.text.trainable_layers,
            fix=f"Use at most {encoder.config.layers}, or 0 to tune all.",
        )
    encoder.freeze_below(recipe.text.trainable_layers)
    return encoder


def _scratch_config(recipe: Recipe, vocabulary: int, sizes: TextRecipe | QueryRecipe) -> TextEncoderConfig:
    return TextEncoderConfig(
        vocabulary=vocabulary,
        width=sizes.width,
        layers=sizes.layers,
        heads=sizes.heads,
        feedforward=4 * sizes.width,
        positions=max(recipe.max_query_tokens, recipe.max_product_tokens),
    )
