"""Embeds a catalogue through Triton: the same engine, the same way in, as when serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from retrieval_gateway.encoding.encoder import Encoder, ProductEmbedding, ProductRow

_IN_FLIGHT = 2
"""Calls at once: one runs while the next is prepared."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors of N products.

    Attributes:
        vectors: float32[N,dim], L2-normalised, rows in the catalogue's order.
        weights: float32[N,2]: text, image.
    """

    vectors: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


async def embed_catalogue(
    encoder: Encoder,
    catalogue: Catalogue,
    pictures: DecodedPictures,
    rows: int = 16,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Embeddings:
    """Embeds every product.

    Args:
        encoder: bound to the towers of the release to be.
        catalogue: the products.
        pictures: their decoded pictures, row by row.
        rows: products of one call.
        on_progress: told how many products are done.

    Raises:
        Unavailable: Triton does not answer.
        InvalidInput: Triton refuses a product.
    """

    def row(place: int) -> ProductRow:
        text = catalogue.products[place].indexed_text()
        return encoder.product_row(text, pictures.pixels[place], pictures.has_image[place])

    embeddings = await embed_rows(encoder, len(catalogue), row, rows, on_progress)
    return Embeddings(
        np.stack([embedding.vector for embedding in embeddings]),
        np.stack([embedding.weights for embedding in embeddings]),
    )


async def embed_rows(
    encoder: Encoder,
    count: int,
    row: Callable[[int], ProductRow],
    rows: int = 16,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[ProductEmbedding]:
    """Embeds ``count`` rows of the product tower, in their order; errors as ``embed_catalogue``.

    Args:
        encoder: bound to the towers of the release to be.
        count: how many.
        row: makes one of them, when its turn has come: pictures are large.
        rows: of one call.
        on_progress: told how many are done.
    """
    places = asyncio.Semaphore(_IN_FLIGHT)
    done = 0

    async def embed(start: int) -> list[ProductEmbedding]:
        nonlocal done
        async with places:
            batch = [row(place) for place in range(start, min(start + rows, count))]
            found = await encoder.product_embeddings(batch)
        done += len(found)
        on_progress(done)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(embed(start)) for start in range(0, count, rows)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # the rest was cancelled; callers know our errors, not groups
    return [embedding for task in tasks for embedding in task.result()]
