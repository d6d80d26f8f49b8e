"""Embeds a catalogue through Triton: the same engine, the same way in, as when serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from retrieval_gateway.encoding.encoder import Encoder, ProductEmbedding

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
    places = asyncio.Semaphore(_IN_FLIGHT)
    done = 0

    async def embed(start: int) -> list[ProductEmbedding]:
        nonlocal done
        async with places:
            batch = [
                encoder.product_row(
                    catalogue.products[row].indexed_text(), pictures.pixels[row], pictures.has_image[row]
                )
                for row in range(start, min(start + rows, len(catalogue)))
            ]
            found = await encoder.product_embeddings(batch)
        done += len(found)
        on_progress(done)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(embed(start)) for start in range(0, len(catalogue), rows)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # the rest was cancelled; callers know our errors, not groups
    embeddings = [embedding for task in tasks for embedding in task.result()]
    return Embeddings(
        np.stack([embedding.vector for embedding in embeddings]),
        np.stack([embedding.weights for embedding in embeddings]),
    )
