"""Training examples: a click log and a catalogue as arrays from which batches are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from catalog.catalogue import Catalogue
from catalog.keyword_table import KeywordTable
from catalog.pictures import DecodedPictures
from catalog.schema import Click
from catalog.tokenizer import Tokenizer, pad_batch
from faults import CatalogueError
from towers.data.keywords import intent_words, keyword_overlap
from towers.data.spoiling import spoil
from towers.data.typos import tokens_with_typos

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
    """bool[Q,P]: product j was clicked for query i, or may be meant by it: no negative."""
    query_rows: Tensor
    """int64[Q]: places in ``Examples.queries``."""
    product_rows: Tensor
    """int64[P]: rows of the catalogue."""
    spoilt: Tensor | None = None
    """bool[P,2]: whose words, whose pictures are bad on purpose and say nothing alone; None: nobody's."""


@dataclass(frozen=True)
class Drawing:
    """How batches are drawn; equal ones draw equal batches.

    Several queries share a product, because embedding a product costs many times a query.
    """

    products: int
    """Of a batch; all of them if the catalogue has fewer."""
    queries_each: int
    """Queries drawn for each product, with repetition."""
    steps: int
    """Number of batches."""
    seed: int
    """Of all choices."""
    modality_dropout: float = 0.0
    """See ``drop_modalities``."""
    keyword_dropout: float = 0.5
    """Chance that a query goes without its keywords, where it has any."""
    keyword_mask: float | None = None
    """Products of queries of the same intent are no negatives, see ``keyword_overlap``."""
    typos: float = 0.0
    """Chance to misspell a query; one with a typo goes without keywords, as in serving."""
    spoiling: float = 0.0
    """Chance to spoil the words, and the pictures, of a product that has both; see ``spoil``."""


@dataclass(frozen=True)
class QueryKeywords:
    """What the keyword table says of each query of the log."""

    tokens: list[list[int]]
    """Ids of each query with its keywords; without them, where towers never read any."""
    intents: tuple[frozenset[str], ...]
    """What tells one intent from another, see ``intent_words``."""


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
        encode: texts to ids, cut as ``query_tokens`` are.
        keywords: of the queries, where the recipe asks for them.
    """

    queries: tuple[str, ...]
    query_tokens: list[list[int]]
    product_tokens: list[list[int]]
    has_text: npt.NDArray[np.bool_]
    pictures: DecodedPictures
    clicked: tuple[frozenset[int], ...]
    asked: Mapping[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]
    pairs: int
    encode: Callable[[Sequence[str]], list[list[int]]]
    keywords: QueryKeywords | None = None

    def batches(self, drawing: Drawing, skip: int = 0) -> Iterator[Batch]:
        """Draws the batches after the first ``skip``, which are drawn but not made."""
        random = np.random.default_rng(drawing.seed)
        clicked_rows = np.array(sorted(self.asked), dtype=np.int64)
        for number in range(drawing.steps):
            size = min(drawing.products, len(clicked_rows))
            rows = random.choice(clicked_rows, size=size, replace=False)
            drawn = [
                random.choice(self.asked[row][0], drawing.queries_each, p=self.asked[row][1])
                for row in rows.tolist()
            ]
            has_text, has_image = drop_modalities(
                self.has_text[rows], self.pictures.has_image[rows], drawing.modality_dropout, random
            )
            if number >= skip:
                queries = np.concatenate(drawn)
                tokens = self._query_tokens(queries, drawing, np.random.default_rng([drawing.seed, number]))
                known = self._not_negative(queries, rows, drawing)
                batch = self._batch(rows, queries, tokens, known, has_text, has_image)
                luck = np.random.default_rng([drawing.seed, number, 1])
                yield batch if drawing.spoiling == 0 else self._spoilt(batch, rows, drawing.spoiling, luck)

    def _query_tokens(
        self, queries: npt.NDArray[np.int64], drawing: Drawing, random: np.random.Generator
    ) -> list[list[int]]:
        plain = self.query_tokens
        if drawing.typos:
            tokens = tokens_with_typos(self.queries, plain, queries, drawing.typos, self.encode, random)
        else:
            tokens = [plain[query] for query in queries]
        if self.keywords is None:
            return tokens
        without = random.random(len(queries)) < drawing.keyword_dropout
        return [
            own if dropped or own is not plain[query] else self.keywords.tokens[query]
            for own, dropped, query in zip(tokens, without.tolist(), queries.tolist(), strict=True)
        ]

    def _not_negative(
        self, queries: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], drawing: Drawing
    ) -> Tensor:
        """Returns bool[Q,P]: clicked, or clicked for a query of the same intent."""
        known = self.known(queries, rows)
        if drawing.keyword_mask is None or self.keywords is None:
            return known
        intents = [self.keywords.intents[query] for query in queries]
        alike = torch.from_numpy(keyword_overlap(intents, drawing.keyword_mask))
        own = np.repeat(np.arange(len(rows)), drawing.queries_each)
        asked_for = torch.zeros(known.shape)
        asked_for[torch.arange(len(queries)), torch.from_numpy(own)] = 1
        return known | (alike.float() @ asked_for > 0)

    def _batch(
        self,
        rows: npt.NDArray[np.int64],
        queries: npt.NDArray[np.int64],
        tokens: Sequence[Sequence[int]],
        known: Tensor,
        has_text: npt.NDArray[np.bool_],
        has_image: npt.NDArray[np.bool_],
    ) -> Batch:
        query_ids, query_mask = pad_batch(tokens)
        product_ids, product_mask = pad_batch([self.product_tokens[row] for row in rows])
        return Batch(
            torch.from_numpy(query_ids),
            torch.from_numpy(query_mask),
            torch.from_numpy(product_ids),
            torch.from_numpy(product_mask),
            torch.from_numpy(self.pictures.pixels[rows]),
            torch.from_numpy(has_text[:, None]),
            torch.from_numpy(has_image),
            torch.arange(len(rows)).repeat_interleave(len(queries) // len(rows)),
            known,
            torch.from_numpy(queries),
            torch.from_numpy(rows),
        )

    def _spoilt(
        self, batch: Batch, rows: npt.NDArray[np.int64], chance: float, random: np.random.Generator
    ) -> Batch:
        both = (batch.has_text[:, 0] & batch.has_image.any(dim=1)).numpy()
        tokens = [self.product_tokens[row] for row in rows]
        found = spoil(self.pictures.pixels[rows], tokens, both, chance, random)
        product_ids, product_mask = pad_batch(found.tokens)
        return replace(
            batch,
            product_ids=torch.from_numpy(product_ids),
            product_mask=torch.from_numpy(product_mask),
            pixels=torch.from_numpy(found.pixels),
            spoilt=torch.from_numpy(np.stack([found.text, found.image], axis=1)),
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
    keywords: KeywordTable | None = None,
    reads_keywords: bool = True,
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

    def encode(queries: Sequence[str]) -> list[list[int]]:
        return tokenizer.encode(queries, max_query_tokens)

    return Examples(
        queries,
        encode(queries),
        tokenizer.encode(texts, max_product_tokens),
        np.array([bool(text.strip()) for text in texts]),
        pictures,
        tuple(frozenset(rows) for rows in clicked),
        _queries_of_products(counts),
        len(counts),
        encode,
        None if keywords is None else _keywords_of(queries, keywords, encode, reads_keywords),
    )


def _keywords_of(
    queries: Sequence[str],
    table: KeywordTable,
    encode: Callable[[Sequence[str]], list[list[int]]],
    read: bool,
) -> QueryKeywords:
    return QueryKeywords(
        encode([table.enrich(query, table.of(query)) if read else query for query in queries]),
        tuple(intent_words(query, table) for query in queries),
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
