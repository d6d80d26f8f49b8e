"""Where the encoded pictures of a catalogue lie until somebody asks for them.

A catalogue of a million products has gigabytes of pictures. They stay in Arrow's memory
(Parquet) or on the disk (a folder of files); Python objects are made for one product at
a time. A store is shared by a catalogue and all of its subsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from catalog.complaints import complaint
from catalog.schema import Picture

__all__ = ["ArrowPictures", "FilePictures", "NoPictures", "PictureStore"]


class PictureStore(Protocol):
    """The pictures of each product, in the order of the file they came from."""

    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        """Returns the product's pictures; empty where it has none."""
        ...


class NoPictures:
    """The store of a catalogue that comes without pictures."""

    def pictures(self, product_id: str) -> tuple[Picture, ...]:  # noqa: ARG002 - the protocol's shape
        """Returns nothing."""
        return ()


class ArrowPictures:
    """Pictures in Arrow columns.

    Args:
        product_ids: the product of each row.
        views: the name of the view of each row.
        data: binary column, one encoded picture a row; a null row is no picture.
    """

    def __init__(self, product_ids: Sequence[str], views: Sequence[str], data: pa.ChunkedArray) -> None:
        self._views = views
        self._data = data
        self._rows: dict[str, list[int]] = {}
        present = data.is_valid().to_pylist()
        for row, product_id in enumerate(product_ids):
            if present[row]:
                self._rows.setdefault(product_id, []).append(row)

    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        """Returns copies of the product's pictures, in the rows' order."""
        rows = self._rows.get(product_id, ())
        return tuple(Picture(product_id, self._views[row], self._data[row].as_py()) for row in rows)


class FilePictures:
    """Pictures in files, read when asked for.

    Args:
        files: product id to (view, file), in the order of the views.
    """

    def __init__(self, files: Mapping[str, Sequence[tuple[str, Path]]]) -> None:
        self._files = files

    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        """Reads the product's pictures; raises CatalogueError if a file has gone since."""
        return tuple(Picture(product_id, view, _read(path)) for view, path in self._files.get(product_id, ()))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise complaint(
            f"the picture cannot be read ({error.strerror}).",
            where=str(path),
            fix="Put the file back, or read the catalogue again.",
        ) from error
