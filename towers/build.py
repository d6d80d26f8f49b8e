"""Builds untrained (or pretrained) towers and their tokenizer from a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog.tokenizer import Tokenizer, train_tokenizer
from faults import InvalidInput
from towers.encoders.convnet import ConvNet
from towers.encoders.pretrained import load_text_encoder, load_tokenizer, minilm_folder
from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig
from towers.recipe import Recipe
from towers.towers import ProductTower, QueryTower


@dataclass(frozen=True)
class Towers:
    """A query tower, a product tower and the tokenizer both read."""

    query: QueryTower
    product: ProductTower
    tokenizer: Tokenizer

    def train(self, mode: bool) -> None:
        """Switches both towers to training or evaluation mode."""
        self.query.train(mode)
        self.product.train(mode)


def build_towers(recipe: Recipe, texts: Iterable[str]) -> Towers:
    """Builds towers for a first training.

    Args:
        recipe: what to build.
        texts: from which a tokenizer is learned where the recipe starts from scratch.
    """
    if recipe.text.initialise == "minilm":
        return _from_checkpoint(recipe, minilm_folder())
    tokenizer = train_tokenizer(texts, recipe.text.vocabulary)
    return assemble(recipe, tokenizer, *(_fresh_encoder(recipe, tokenizer) for _ in range(2)))


def rebuild_towers(recipe: Recipe, tokenizer: Tokenizer, sizes: TextEncoderConfig) -> Towers:
    """Builds empty towers of known sizes, to be filled from a checkpoint."""
    return assemble(recipe, tokenizer, TextEncoder(sizes), TextEncoder(sizes))


def assemble(
    recipe: Recipe, tokenizer: Tokenizer, query_encoder: TextEncoder, product_encoder: TextEncoder
) -> Towers:
    """Puts towers together around two text encoders."""
    longest = max(recipe.max_query_tokens, recipe.max_product_tokens)
    if longest > query_encoder.config.positions:
        raise InvalidInput(
            "longer than the text encoder has positions",
            field="recipe.max_product_tokens",
            value=longest,
            fix=f"Use at most {query_encoder.config.positions}.",
        )
    return Towers(
        QueryTower(query_encoder, recipe.dim),
        ProductTower(product_encoder, ConvNet(recipe.image.channels), recipe.dim),
        tokenizer,
    )


def _from_checkpoint(recipe: Recipe, folder: Path) -> Towers:
    encoders = [load_text_encoder(folder) for _ in range(2)]
    if recipe.text.trainable_layers > encoders[0].config.layers:
        raise InvalidInput(
            "more than the text encoder has layers",
            field="recipe.text.trainable_layers",
            value=recipe.text.trainable_layers,
            fix=f"Use at most {encoders[0].config.layers}, or 0 to tune all.",
        )
    for encoder in encoders:
        encoder.freeze_below(recipe.text.trainable_layers)
    return assemble(recipe, load_tokenizer(folder), *encoders)


def _fresh_encoder(recipe: Recipe, tokenizer: Tokenizer) -> TextEncoder:
    return TextEncoder(
        TextEncoderConfig(
            vocabulary=tokenizer.vocabulary_size,
            width=recipe.text.width,
            layers=recipe.text.layers,
            heads=recipe.text.heads,
            feedforward=4 * recipe.text.width,
            positions=max(recipe.max_query_tokens, recipe.max_product_tokens),
        )
    )
