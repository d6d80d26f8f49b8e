"""Vectors of one half of each product: its text alone, its pictures alone.

They are what "similar by picture" compares. A missing modality has weight 0 in the product tower, so a
product that has one half only is embedded already: its whole vector is that half's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.pictures import DecodedPictures
from indexing.embedding import embed_rows
from releases.manifest import HalfName
from retrieval_gateway.encoding.encoder import Encoder, ProductRow

__all__ = ["VIEW_FILES", "view_vectors"]

VIEW_FILES: dict[HalfName, str] = {"text": "text_vectors.npy", "image": "image_vectors.npy"}

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


async def view_vectors(
    encoder: Encoder,
    catalogue: Catalogue,
    pictures: DecodedPictures,
    whole: Floats,
    on_progress: Callable[[int], None] = lambda _: None,
) -> dict[HalfName, Floats]:
    """Returns the vectors of texts and of pictures, each float32[N,dim].

    A product without text has a row of zeros among the texts, one without a picture among the pictures.

    Args:
        encoder: bound to the towers of the release to be.
        catalogue: N products.
        pictures: their decoded pictures, row by row.
        whole: float32[N,dim], the vectors of the whole products.
        on_progress: told how many of the N products are done.

    Raises:
        Unavailable: Triton does not answer.
        InvalidInput: Triton refuses a product.
    """
    texts = [product.indexed_text() for product in catalogue.products]
    has_text = np.array([bool(text.strip()) for text in texts])
    has_image = np.array([row.any() for row in pictures.has_image])
    both = np.flatnonzero(has_text & has_image)
    nothing = np.zeros_like(pictures.pixels[0])
    no_image = np.zeros_like(pictures.has_image[0])

    def of_text(place: int) -> ProductRow:
        return encoder.product_row(texts[both[place]], nothing, no_image)

    def of_pictures(place: int) -> ProductRow:
        row = both[place]
        return encoder.product_row("", pictures.pixels[row], pictures.has_image[row])

    async def embedded(half: Callable[[int], ProductRow], present: Flags, before: int) -> Floats:
        vectors = whole * present[:, None]
        tell = partial(_told, on_progress, before, 2 * len(both), len(catalogue))
        for place, found in enumerate(await embed_rows(encoder, len(both), half, on_progress=tell)):
            vectors[both[place]] = found.vector
        return vectors

    return {
        "text": await embedded(of_text, has_text, 0),
        "image": await embedded(of_pictures, has_image, len(both)),
    }


def _told(on_progress: Callable[[int], None], before: int, rows: int, products: int, done: int) -> None:
    on_progress(products * (before + done) // rows)
