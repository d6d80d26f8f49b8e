"""Queries by which a release chooses how to merge its channels: made from training products alone.

What the products themselves say (category, colour, attributes, title) is turned into queries by the click
simulation, and what it lets shoppers click is what is right. No evaluation query and no held-out product
has a part in it, so that both stay fit for measuring.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.held_out import is_held_out_product
from retrieval_gateway.encoding.encoder import Encoder

__all__ = ["LEAST_QUERIES", "TuningQueries", "simulated_queries", "with_vectors"]

LEAST_QUERIES = 50
"""Fewer tell one plan from another by chance alone."""

_QUERIES = 500
_PRODUCTS = 2000
_PER_PRODUCT = 40
"""Distinct queries asked about each: the more, the fewer fitting products the log happens to leave out."""
_SEED = 1000
"""Another log than a training's, whose seed is its recipe's."""


@dataclass(frozen=True)
class TuningQueries:
    """Queries with what answers them.

    Attributes:
        texts: Q distinct queries.
        relevant: for each its relevant rows, two at least: one product alone says how brief the log is.
        rows: int64[m], rising: the products that the queries were made from, and that may answer.
        vectors: float32[Q,dim], L2-normalised.
    """

    texts: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]


def simulated_queries(catalogue: Catalogue) -> TuningQueries:
    """Makes queries from a sample of the catalogue's training products; their vectors are still empty.

    They are fewer than ``LEAST_QUERIES`` where all is held out, or products say too little.
    """
    chooser = random.Random(_SEED)
    training = [product.product_id for product in catalogue.products if not is_held_out_product(product)]
    sample = chooser.sample(training, min(_PRODUCTS, len(training)))
    rows = np.array(sorted(catalogue.row(product_id) for product_id in sample), np.int64)
    relevant: dict[str, set[int]] = {}
    for click in simulate_clicks(catalogue.subset(sample), _SEED, _PER_PRODUCT) if sample else ():
        relevant.setdefault(click.query, set()).add(catalogue.row(click.product_id))
    several = sorted(text for text, found in relevant.items() if len(found) > 1)
    texts = chooser.sample(several, min(_QUERIES, len(several)))
    answers = tuple(frozenset(relevant[text]) for text in texts)
    return TuningQueries(tuple(texts), answers, rows, np.empty((0, 0), np.float32))


async def with_vectors(queries: TuningQueries, encoder: Encoder) -> TuningQueries:
    """Embeds the queries as a gateway would; errors as ``Encoder.encode_words``. Too few are not worth it."""
    if len(queries.texts) < LEAST_QUERIES:
        return queries
    found = await asyncio.gather(*(encoder.encode_words(encoder.tokenise(text)) for text in queries.texts))
    return TuningQueries(queries.texts, queries.relevant, queries.rows, np.stack(found))
