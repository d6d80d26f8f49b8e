"""All pictures of a catalogue to one array, for training and for indexing.

The decoder of a single picture lies in ``picture_decoder`` and is offered here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.complaints import examples_of
from catalog.picture_decoder import DEFAULT_LIMITS, PictureLimits, Pixels, decode_picture
from catalog.schema import Picture
from faults import CatalogueError, InvalidInput

__all__ = [
    "BadPicture",
    "DecodedPictures",
    "PictureLimits",
    "Pixels",
    "decode_catalogue",
    "decode_picture",
]

_THREADS = 2
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A picture that could not be decoded, and why."""

    product_id: str
    view: str
    reason: str

    def __str__(self) -> str:
        return f"{self.product_id}/{self.view}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DecodedPictures:
    """The pictures of N products in V slots each, rows in the catalogue's order.

    Attributes:
        pixels: uint8 ``[N, V, H, W, 3]`` RGB; zeros where there is no picture.
        has_image: bool ``[N, V]``.
        skipped: pictures that were left out because they cannot be decoded.
    """

    pixels: Pixels
    has_image: npt.NDArray[np.bool_]
    skipped: tuple[BadPicture, ...]


def decode_catalogue(
    catalogue: Catalogue,
    size: int,
    views: int = 1,
    on_bad: Literal["refuse", "skip"] = "refuse",
    progress: Callable[[int], None] | None = None,
    limits: PictureLimits = DEFAULT_LIMITS,
) -> DecodedPictures:
    """Decodes the first ``views`` pictures of every product.

    Args:
        catalogue: N products.
        size: side of the pixels' squares.
        views: V, the slots a product; a product with fewer pictures leaves slots empty.
        on_bad: ``refuse`` raises when all pictures were tried; ``skip`` leaves the slot
            empty and reports it.
        progress: called with the number of products done so far.
        limits: what ``decode_picture`` refuses.

    Raises:
        CatalogueError: some pictures cannot be decoded and ``on_bad`` is ``refuse``.
        InvalidInput: ``views`` or ``size`` below 1.
    """
    if views < 1 or size < 1:
        raise InvalidInput(
            "must be positive.", field="views, size", value=(views, size), fix="Give 1 or more."
        )
    pixels = np.zeros((len(catalogue), views, size, size, 3), dtype=np.uint8)
    has_image = np.zeros((len(catalogue), views), dtype=np.bool_)
    bad: list[BadPicture] = []

    def decode_row(row: int) -> list[BadPicture]:
        slots = enumerate(catalogue.pictures(catalogue.products[row].product_id)[:views])
        failed: list[BadPicture] = []
        for slot, picture in slots:
            decoded = _decode(picture, size, limits)
            if isinstance(decoded, BadPicture):
                failed.append(decoded)
            else:
                pixels[row, slot] = decoded
                has_image[row, slot] = True
        return failed

    # Decoders release the interpreter's lock, and more threads than cores only fight.
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        for block in _blocks(len(catalogue)):
            for failed in pool.map(decode_row, block):
                bad.extend(failed)
            if progress is not None:
                progress(block.stop)
    if bad and on_bad == "refuse":
        raise CatalogueError(
            f"{len(bad)} pictures cannot be decoded: {examples_of(bad)}.",
            field=f"{catalogue.source}: images",
            fix="Mend them, or ask for bad pictures to be skipped.",
        )
    return DecodedPictures(pixels, has_image, tuple(bad))


def _blocks(count: int) -> Iterator[range]:
    for start in range(0, count, _BLOCK):
        yield range(start, min(start + _BLOCK, count))


def _decode(picture: Picture, size: int, limits: PictureLimits) -> Pixels | BadPicture:
    try:
        return decode_picture(picture.data, size, limits)
    except InvalidInput as error:
        return BadPicture(picture.product_id, picture.view, error.problem)
