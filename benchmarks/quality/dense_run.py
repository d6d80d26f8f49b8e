"""Queries against a catalogue by PyTorch towers, or by the text encoder that they started from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from catalog.catalogue import Catalogue
from catalog.keyword_table import KeywordTable
from catalog.pictures import DecodedPictures
from catalog.schema import EvaluationQuery
from catalog.tokenizer import pad_batch
from evaluation.exact import exact_search
from towers.build import Towers
from towers.encoders.pretrained import load_text_encoder, load_tokenizer, minilm_folder
from towers.recipe import Recipe
from towers.vectors import unit

_DEPTH = 100
_BLOCK = 64
_UNTUNED_TOKENS = 256
"""What MiniLM was made for; the baseline is not to be cut shorter than it need be."""

Vectors = npt.NDArray[np.float32]
Pair = tuple[Vectors, Vectors]
"""float32[Q,dim] of queries and float32[N,dim] of products, L2-normalised."""


def dense_run(
    asked: Sequence[EvaluationQuery], corpus: Catalogue, queries: Vectors, products: Vectors
) -> dict[str, list[tuple[str, float]]]:
    """Returns the best 100 products of each query by exact search, as ``evaluation.measures`` reads them."""
    rows, scores = exact_search(products, queries, _DEPTH)
    ids = corpus.ids
    return {
        query.query_id: [(ids[row], float(score)) for row, score in zip(*best, strict=True)]
        for query, best in zip(asked, zip(rows.tolist(), scores.tolist(), strict=True), strict=True)
    }


def tower_vectors(
    towers: Towers,
    recipe: Recipe,
    keywords: KeywordTable | None,
    asked: Sequence[EvaluationQuery],
    corpus: Catalogue,
    pictures: DecodedPictures,
) -> Pair:
    """Embeds queries and products with trained towers, in evaluation mode."""
    words = [query.query for query in asked]
    if keywords is not None:
        words = [keywords.enrich(query, keywords.of(query)) for query in words]
    texts = [product.indexed_text() for product in corpus.products]
    has_text = torch.tensor([[bool(text.strip())] for text in texts])

    def product(ids: Tensor, mask: Tensor, rows: slice) -> Tensor:
        pixels = torch.from_numpy(pictures.pixels[rows])
        has_image = torch.from_numpy(pictures.has_image[rows])
        vectors: Tensor = towers.product(ids, mask, pixels, has_text[rows], has_image)[0]
        return vectors

    query_tokens = towers.tokenizer.encode(words, recipe.max_query_tokens)
    product_tokens = towers.tokenizer.encode(texts, recipe.max_product_tokens)
    return (
        _embedded(query_tokens, lambda ids, mask, _: towers.query(ids, mask)),
        _embedded(product_tokens, product),
    )


def untuned_vectors(asked: Sequence[EvaluationQuery], corpus: Catalogue) -> Pair:
    """Embeds queries, and products by title and description, with MiniLM as it comes."""
    folder = minilm_folder()
    tokenizer, encoder = load_tokenizer(folder), load_text_encoder(folder).eval()
    texts = [product.indexed_text() for product in corpus.products]

    def embed(ids: Tensor, mask: Tensor, _: slice) -> Tensor:
        return unit(encoder(ids, mask))

    return (
        _embedded(tokenizer.encode([query.query for query in asked], _UNTUNED_TOKENS), embed),
        _embedded(tokenizer.encode(texts, _UNTUNED_TOKENS), embed),
    )


def _embedded(tokens: Sequence[Sequence[int]], embed: Callable[[Tensor, Tensor, slice], Tensor]) -> Vectors:
    vectors = []
    with torch.no_grad():
        for start in range(0, len(tokens), _BLOCK):
            rows = slice(start, start + _BLOCK)
            ids, mask = pad_batch(tokens[rows])
            vectors.append(embed(torch.from_numpy(ids), torch.from_numpy(mask), rows).numpy())
    return np.concatenate(vectors)
