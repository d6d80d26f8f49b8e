"""Several photographs of one product: a folder that says which pictures show the same thing.

``images.parquet`` in it holds one photograph a row: ``group_id`` (one product: a style in one
colour), ``jpeg``, and where known ``view``, ``style_group`` and ``split``. The photographs need no
catalogue beside them. What trains on them leaves out what measurements are made on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from catalog.complaints import complaint, examples_of, refuse_if_any
from catalog.fields import text_of
from catalog.held_out import is_held_out
from catalog.picture_decoder import Pixels, decode_picture
from catalog.pictures import BadPicture
from catalog.tables import read_parquet_table
from faults import CatalogueError, InvalidInput

__all__ = [
    "DecodedPhotographs",
    "Photograph",
    "decode_photographs",
    "is_held_out_photograph",
    "read_photographs",
]

_FILE = "images.parquet"
_SPLITS = frozenset({"", "train", "val", "test"})
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph, still encoded.

    Attributes:
        group_id: equal for all photographs of one product.
        view: the shop's name of the view; ``main`` where it says none.
        data: the file's bytes, unchecked.
        style_group: equal for the same style in any colour; the product's own id where none is known.
        split: ``train``, ``val`` or ``test``; empty where the photographs come without a split.
    """

    group_id: str
    view: str
    data: bytes
    style_group: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class DecodedPhotographs:
    """N photographs at one size.

    Attributes:
        pixels: uint8 ``[N, H, W, 3]`` RGB.
        groups: N group ids; the photographs of a group stand in the order of the file.
        skipped: photographs that were left out because they cannot be decoded.
    """

    pixels: Pixels
    groups: tuple[str, ...]
    skipped: tuple[BadPicture, ...] = ()

    def fingerprint(self) -> str:
        """Returns a SHA-256 (hex) over pixels and groups, in their order."""
        whole = hashlib.sha256("\n".join(self.groups).encode())
        whole.update(np.ascontiguousarray(self.pixels).data)
        return whole.hexdigest()


def read_photographs(folder: Path) -> list[Photograph]:
    """Reads ``images.parquet`` in ``folder``, row by row.

    Raises:
        CatalogueError: there is no such file, it cannot be read, a column is missing, rows have no
            group_id or no picture, or a split that is not known (counted, with examples).
    """
    path = folder / _FILE
    if not path.is_file():
        raise complaint(
            f"there is no {_FILE} in this folder.",
            where="photographs",
            value=str(folder),
            fix="Name a folder with images.parquet: group_id, jpeg, and view, style_group, split if known.",
        )
    table = read_parquet_table(path, ("group_id", "jpeg"), ("view", "style_group", "split"))

    def texts(column: str) -> list[str]:
        if column not in table.column_names:
            return [""] * len(table)
        return [text_of(cell).strip() for cell in table.column(column).to_pylist()]

    groups, views, styles, splits = map(texts, ("group_id", "view", "style_group", "split"))
    pictures = _encoded(path, table.column("jpeg"))
    _refuse_bad_rows(path, groups, splits, pictures)
    return [
        Photograph(group, view or "main", data or b"", style or group, split)
        for group, view, data, style, split in zip(groups, views, pictures, styles, splits, strict=True)
    ]


def is_held_out_photograph(photograph: Photograph) -> bool:
    """Tells whether measurements are made on a photograph: its split is not train, or its style is held out.

    A photograph without a split goes by its style alone.
    """
    return photograph.split not in ("", "train") or is_held_out(photograph.style_group)


def decode_photographs(
    photographs: Sequence[Photograph],
    size: int,
    on_bad: Literal["refuse", "skip"] = "refuse",
    progress: Callable[[int], None] | None = None,
) -> DecodedPhotographs:
    """Decodes photographs to squares, as a catalogue's pictures are.

    Args:
        photographs: what to decode.
        size: side of the squares in pixels.
        on_bad: ``refuse`` raises when all were tried; ``skip`` leaves a bad one out and reports it.
        progress: called with the number of photographs done so far.

    Raises:
        CatalogueError: some cannot be decoded and ``on_bad`` is ``refuse``, or none is left.
    """
    decoded: list[Pixels] = []
    groups: list[str] = []
    bad: list[BadPicture] = []
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        results = pool.map(lambda photograph: _decode(photograph, size), photographs)
        for done, (photograph, result) in enumerate(zip(photographs, results, strict=True), start=1):
            if isinstance(result, BadPicture):
                bad.append(result)
            else:
                decoded.append(result)
                groups.append(photograph.group_id)
            if progress is not None:
                progress(done)
    if bad and on_bad == "refuse":
        raise CatalogueError(
            f"{len(bad)} photographs cannot be decoded: {examples_of(bad)}.",
            field="photographs: jpeg",
            fix="Mend them, or ask for bad pictures to be skipped.",
        )
    if not decoded:
        raise CatalogueError(
            "no photograph is left to learn from.",
            field="photographs",
            fix="Give photographs that are not held out and that can be decoded.",
        )
    return DecodedPhotographs(np.stack(decoded), tuple(groups), tuple(bad))


def _encoded(path: Path, column: pa.ChunkedArray) -> list[bytes | None]:
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise complaint(
            f"the pictures are of type {column.type}, not bytes.",
            where=f"{path}: jpeg",
            fix="Write the encoded files as a binary column.",
        )
    pictures: list[bytes | None] = column.to_pylist()
    return pictures


def _decode(photograph: Photograph, size: int) -> Pixels | BadPicture:
    try:
        return decode_picture(photograph.data, size)
    except InvalidInput as error:
        return BadPicture(photograph.group_id, photograph.view, error.problem)


def _refuse_bad_rows(
    path: Path, groups: Sequence[str], splits: Sequence[str], pictures: Iterable[bytes | None]
) -> None:
    refuse_if_any(
        [row for row, group in enumerate(groups, start=1) if not group],
        what="rows have no group_id",
        where=f"{path}: group_id",
        fix="Give every photograph the id of its product.",
    )
    refuse_if_any(
        [group for group, data in zip(groups, pictures, strict=True) if not data],
        what="rows have no picture",
        where=f"{path}: jpeg",
        fix="Remove these rows, or add the pictures.",
    )
    refuse_if_any(
        sorted(set(splits) - _SPLITS),
        what="names of splits are not known",
        where=f"{path}: split",
        fix="Write train, val or test; leave it empty where there is no split.",
    )
