"""Training examples: a click log and a catalogue as arrays from which batches are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from catalog.schema import Click
from catalog.tokenizer import Tokenizer, pad_batch
from faults import CatalogueError

_NAMED_EXAMPLES = 5


@dataclass(frozen=True)
class Batch:
    """P products, and for each of them some queries that it was clicked for: Q in all."""

    query_ids: Tensor
    query_mask: Tensor
    product_ids: Tensor
    product_mask: Tensor
    pixels: Tensor
    has_text: Tensor
    has_image: Tensor
    target: Tensor
    """int64[Q]: the row of each query's product."""
    known: Tensor
    """bool[Q,P]: product j was clicked for query i."""


@dataclass(frozen=True)
class Examples:
    """The clicked pairs of a catalogue, tokenised and decoded once.

    Args:
        queries: distinct query strings.
        query_tokens: ids of each query.
        product_tokens: ids of each product's indexed text.
        has_text: bool[N], false where title and description are empty.
        pictures: decoded pictures, row by row as the catalogue's products.
        clicked: for each query, the product rows clicked for it.
        asked: for each product row, its queries and their chances to be drawn (which sum to 1).
        pairs: number of distinct clicked (query, product) pairs.
    """

    queries: tuple[str, ...]
    query_tokens: list[list[int]]
    product_tokens: list[list[int]]
    has_text: npt.NDArray[np.bool_]
    pictures: DecodedPictures
    clicked: tuple[frozenset[int], ...]
    asked: Mapping[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]
    pairs: int

    def batches(
        self,
        products: int,
        queries_each: int,
        steps: int,
        modality_dropout: float,
        seed: int,
        skip: int = 0,
    ) -> Iterator[Batch]:
        """Draws ``steps`` batches; the same seed draws the same ones.

        Several queries share a product, because embedding a product costs many times a query.

        Args:
            products: products of a batch; all of them if the catalogue has fewer.
            queries_each: queries drawn for each product (with repetition).
            steps: number of batches.
            modality_dropout: see ``drop_modalities``.
            seed: of all choices.
            skip: leaves the first ones out: they are drawn, but not made.
        """
        random = np.random.default_rng(seed)
        clicked_rows = np.array(sorted(self.asked), dtype=np.int64)
        for number in range(steps):
            rows = random.choice(clicked_rows, size=min(products, len(clicked_rows)), replace=False)
            drawn = [
                random.choice(self.asked[row][0], queries_each, p=self.asked[row][1]) for row in rows.tolist()
            ]
            has_text, has_image = drop_modalities(
                self.has_text[rows], self.pictures.has_image[rows], modality_dropout, random
            )
            if number >= skip:
                yield self._batch(rows, np.concatenate(drawn), queries_each, has_text, has_image)

    def _batch(
        self,
        rows: npt.NDArray[np.int64],
        queries: npt.NDArray[np.int64],
        queries_each: int,
        has_text: npt.NDArray[np.bool_],
        has_image: npt.NDArray[np.bool_],
    ) -> Batch:
        query_ids, query_mask = pad_batch([self.query_tokens[query] for query in queries])
        product_ids, product_mask = pad_batch([self.product_tokens[row] for row in rows])
        return Batch(
            torch.from_numpy(query_ids),
            torch.from_numpy(query_mask),
            torch.from_numpy(product_ids),
            torch.from_numpy(product_mask),
            torch.from_numpy(self.pictures.pixels[rows]),
            torch.from_numpy(has_text[:, None]),
            torch.from_numpy(has_image),
            torch.from_numpy(np.repeat(np.arange(len(rows)), queries_each)),
            self.known(queries, rows),
        )

    def known(self, queries: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Tensor:
        """Returns bool[Q,P]: which of P product rows were clicked for which of Q queries."""
        return torch.tensor(
            [[row in self.clicked[query] for row in rows.tolist()] for query in queries.tolist()]
        )


def make_examples(
    catalogue: Catalogue,
    clicks: Sequence[Click],
    pictures: DecodedPictures,
    tokenizer: Tokenizer,
    max_query_tokens: int,
    max_product_tokens: int,
) -> Examples:
    """Joins a click log with its catalogue.

    Every product is drawn equally often, and its queries by the square root of their
    clicks: the head of the log must not crowd out the tail.

    Raises:
        CatalogueError: the log names unknown products (counted, with examples) or has no click.
    """
    row_of = {product_id: row for row, product_id in enumerate(catalogue.ids)}
    unknown = sorted({click.product_id for click in clicks if click.product_id not in row_of})
    if unknown:
        raise CatalogueError(
            f"{len(unknown)} clicked products are not in the catalogue",
            field="clicks.product_id",
            value=unknown[:_NAMED_EXAMPLES],
            fix="Give the click log of this catalogue, or add the products.",
        )
    if not any(click.clicks > 0 for click in clicks):
        raise CatalogueError("the click log has no click", field="clicks", fix="Give a log with clicks > 0.")
    queries = tuple(dict.fromkeys(click.query for click in clicks if click.clicks > 0))
    number = {query: place for place, query in enumerate(queries)}
    counts: Counter[tuple[int, int]] = Counter()
    for click in clicks:
        if click.clicks > 0:
            counts[row_of[click.product_id], number[click.query]] += click.clicks
    clicked: list[set[int]] = [set() for _ in queries]
    for row, query in counts:
        clicked[query].add(row)
    texts = [product.indexed_text() for product in catalogue.products]
    return Examples(
        queries,
        tokenizer.encode(queries, max_query_tokens),
        tokenizer.encode(texts, max_product_tokens),
        np.array([bool(text.strip()) for text in texts]),
        pictures,
        tuple(frozenset(rows) for rows in clicked),
        _queries_of_products(counts),
        len(counts),
    )


def _queries_of_products(
    counts: Mapping[tuple[int, int], int],
) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Groups (product row, query) -> clicks by product, with chances by the square root of the clicks."""
    grouped: dict[int, list[tuple[int, float]]] = {}
    for (row, query), clicks in counts.items():
        grouped.setdefault(row, []).append((query, float(clicks) ** 0.5))
    asked = {}
    for row, pairs in grouped.items():
        chances = np.array([chance for _, chance in pairs])
        asked[row] = (np.array([query for query, _ in pairs], dtype=np.int64), chances / chances.sum())
    return asked


def drop_modalities(
    has_text: npt.NDArray[np.bool_],
    has_image: npt.NDArray[np.bool_],
    chance: float,
    random: np.random.Generator,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Hides the text of some products and the pictures of others, never a product's last modality.

    Args:
        has_text: bool[B].
        has_image: bool[B,V].
        chance: share of the products to lose their text, and share to lose their pictures.
        random: source of randomness.

    Returns:
        The two flags after dropping, of the same shapes.
    """
    draw = random.random(len(has_text))
    both = has_text & has_image.any(axis=1)
    text = has_text & ~(both & (draw < chance))
    image = has_image & ~(both & (draw >= 1 - chance))[:, None]
    return text, image
