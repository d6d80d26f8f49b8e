"""What several commands do with a catalogue: read it, split it, decode it, and find its click log."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from rich.markup import escape

from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.held_out import is_held_out_product
from catalog.photographs import (
    DecodedPhotographs,
    decode_photographs,
    is_held_out_photograph,
    read_photographs,
)
from catalog.pictures import BadPicture, DecodedPictures, decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_coclicks
from catalog.schema import Click, CoClick
from faults import CatalogueError
from vitrine.terminal import console, progress


class Split(StrEnum):
    """Which products: by style group, about 30 % are held out of training."""

    ALL = "all"
    TRAINING = "training"
    HELD_OUT = "held-out"


def open_catalogue(folder: Path, split: Split) -> Catalogue:
    """Reads a catalogue and keeps the products of a split."""
    part = part_of(read_catalogue(folder), split)
    if not len(part):
        raise CatalogueError("no product is in this split", field="--split", value=str(split))
    return part


def part_of(catalogue: Catalogue, split: Split) -> Catalogue:
    """Returns the products of a split; perhaps none."""
    if split is Split.ALL:
        return catalogue
    held_out = split is Split.HELD_OUT
    kept = [product for product in catalogue.products if is_held_out_product(product) is held_out]
    return catalogue.subset([product.product_id for product in kept])


def decode(catalogue: Catalogue, size: int, views: int, skip_bad: bool) -> DecodedPictures:
    """Decodes a catalogue's pictures with a progress bar, and says which were skipped."""
    with progress("decoding pictures", len(catalogue)) as done:
        decoded = decode_catalogue(catalogue, size, views, "skip" if skip_bad else "refuse", done)
    _say_skipped(decoded.skipped)
    return decoded


def decode_further(folder: Path | None, split: Split, size: int, skip_bad: bool) -> DecodedPhotographs | None:
    """Decodes the photographs of a split in ``folder``; None where there is no folder."""
    if folder is None:
        return None
    found = read_photographs(folder)
    if split is not Split.ALL:
        held_out = split is Split.HELD_OUT
        found = [photograph for photograph in found if is_held_out_photograph(photograph) is held_out]
    with progress("decoding photographs", len(found)) as done:
        decoded = decode_photographs(found, size, "skip" if skip_bad else "refuse", done)
    _say_skipped(decoded.skipped)
    return decoded


def _say_skipped(skipped: Sequence[BadPicture]) -> None:
    if skipped:
        shown = ", ".join(str(bad) for bad in skipped[:5])
        console.print(f"[yellow]{len(skipped)} pictures skipped:[/] {escape(shown)}")


def clicks_of(folder: Path, catalogue: Catalogue, seed: int) -> list[Click]:
    """Returns the click log of the catalogue's products; a simulated one where the folder has none.

    A log of the whole shop is cut to the products of ``catalogue``; one that names products
    which the shop does not have is refused by ``read_clicks``.
    """
    logged = read_clicks(folder)
    if logged is None:
        console.print("no click log: simulating one from the products' attributes")
        return simulate_clicks(catalogue, seed)
    return [click for click in logged if click.product_id in catalogue]


def coclicks_of(folder: Path, catalogue: Catalogue) -> list[CoClick] | None:
    """Returns the shop's co-clicks between the products of ``catalogue``; None where it keeps none."""
    logged = read_coclicks(folder)
    if logged is None:
        return None
    return [pair for pair in logged if pair.trigger_id in catalogue and pair.clicked_id in catalogue]
