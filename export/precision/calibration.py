"""Representative rows of a catalogue, from which the ranges of eight-bit numbers are taken.

Rows of one length share a batch, so there is no padding: what the towers compute at padded
places is thrown away by their masks and must not widen a range.

How many: 128 products and 256 texts at most. With 16 and 32 the worst row of a MiniLM query tower
in int8 fell from 0.98 to 0.95; four times as many rows gained nothing and took longer.

Which: products as the shop shows them, and texts of every kind that a tower may meet: queries,
titles, whole product texts cut to its limit, and the empty text, which products without words
carry. Queries alone are not enough: long ones then fell from 0.98 to 0.95 too. Where the shop
has products that the training saw, only they are taken: figures on held-out ones stay honest.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from catalog.catalogue import Catalogue
from catalog.held_out import is_held_out_product
from catalog.pictures import decode_catalogue
from catalog.tokenizer import Tokenizer
from export.gate.engine import Feed
from export.gate.samples import Sample, feed_of
from export.onnx_export import TowerGraph
from towers.recipe import Recipe

MOST_PRODUCTS = 128
MOST_TEXTS = 256
_BATCH = 16


def calibration_feeds(
    graph: TowerGraph,
    tokenizer: Tokenizer,
    recipe: Recipe,
    catalogue: Catalogue,
    queries: Sequence[str],
    seed: int = 0,
) -> list[Feed]:
    """Returns inputs of a tower for calibration; equal arguments give equal feeds.

    Args:
        graph: the tower; its inputs are filled.
        tokenizer: turns texts into ids.
        recipe: has the pictures' size and number.
        catalogue: products with their pictures; those that cannot be decoded are left out.
        queries: what shoppers asked, in any order; may be empty.
        seed: of the choice.

    Returns:
        Batches of at most 16 rows, each of one token length; empty for a catalogue without products.
    """
    part = _training_part(catalogue, random.Random(seed))
    if not len(part):
        return []
    most = graph.limits["max_tokens"]
    shown = _products(part, tokenizer, recipe, most) if "pixels" in graph.inputs else []
    alone = _texts(part, queries, random.Random(seed))
    nothing = np.zeros((recipe.image.size, recipe.image.size, 3), dtype=np.uint8)
    words = [
        Sample(text, ids, nothing, True, False)
        for text, ids in zip(alone, tokenizer.encode(alone, most), strict=True)
    ]
    by_length: dict[int, list[Sample]] = defaultdict(list)
    for row in (*shown, *words):
        by_length[len(row.ids)].append(row)
    return [
        feed_of(rows[start : start + _BATCH], graph.inputs, recipe.image.views)
        for _, rows in sorted(by_length.items())
        for start in range(0, len(rows), _BATCH)
    ]


def _training_part(catalogue: Catalogue, source: random.Random) -> Catalogue:
    """Returns at most ``MOST_PRODUCTS`` products, of the training split where it has any."""
    trained = [product.product_id for product in catalogue.products if not is_held_out_product(product)]
    known = sorted(trained or catalogue.ids)
    return catalogue.subset(source.sample(known, min(MOST_PRODUCTS, len(known))))


def _products(part: Catalogue, tokenizer: Tokenizer, recipe: Recipe, most: int) -> list[Sample]:
    pictures = decode_catalogue(part, recipe.image.size, recipe.image.views, "skip")
    texts = [product.indexed_text() for product in part.products]
    return [
        Sample(text, ids, pictures.pixels[row, 0], bool(text.strip()), bool(pictures.has_image[row, 0]))
        for row, (text, ids) in enumerate(zip(texts, tokenizer.encode(texts, most), strict=True))
    ]


def _texts(part: Catalogue, queries: Sequence[str], source: random.Random) -> list[str]:
    """Returns the empty text, queries (half the room), and titles and whole texts of products."""
    distinct = sorted(set(queries))
    asked = source.sample(distinct, min(MOST_TEXTS // 2, len(distinct)))
    own = {text for product in part.products for text in (product.title, product.indexed_text())}
    written = sorted(own - {""})
    return ["", *asked, *source.sample(written, min(MOST_TEXTS - len(asked) - 1, len(written)))]
