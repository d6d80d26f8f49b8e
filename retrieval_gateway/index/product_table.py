"""What a release knows about its products, row by row as the vectors: one memory-mapped Arrow file.

Arrow's file format maps as it lies, so a gateway opens ten million products in milliseconds,
several processes share the pages, and only the rows of a reply are ever turned into Python objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import faults
from releases.files import atomic_path, storage_errors
from retrieval_gateway.index.product_fields import FIELDS, LOOKUP_HASH, LOOKUP_ROW, SCHEMA, TEXTS, WORDS
from retrieval_gateway.index.product_lookup import find_row, lookup_columns

__all__ = ["ProductTable", "check_fields", "write_product_table"]


def write_product_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Writes a product table; row i belongs to vector i.

    Args:
        path: the file to make.
        columns: by the names in ``product_fields.FIELDS``. ``product_id`` is required; another
            column may be absent, and "" or None in it means missing.

    Raises:
        faults.InvalidInput: an unknown column, lengths that differ, or ids empty or repeated.
        faults.StorageFailed: the disk is full or read-only.
    """
    check_fields(columns)
    if "product_id" not in columns:
        raise faults.InvalidInput("a product table needs this column", field="product_id", fix="add it.")
    ids = [str(product_id) for product_id in columns["product_id"]]
    for name, values in columns.items():
        if len(values) != len(ids):
            raise faults.InvalidInput(
                f"the column has another length than product_id ({len(ids)})",
                field=name,
                value=len(values),
                fix="one value a product.",
            )
    hashes, rows = lookup_columns(ids)
    arrays = {name: _array(name, columns.get(name), len(ids)) for name in FIELDS}
    arrays |= {"product_id": pa.array(ids, pa.large_string()), LOOKUP_HASH: hashes, LOOKUP_ROW: rows}
    # One record batch, so that every column is one array and rows are plain offsets into it.
    batch = pa.record_batch([arrays[name] for name in SCHEMA.names], schema=SCHEMA)
    with (
        storage_errors(path.parent, "no product table was written"),
        atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as writer,
    ):
        writer.write_batch(batch)


def check_fields(names: Iterable[str]) -> None:
    """Refuses names that no product table has.

    Raises:
        faults.InvalidInput: with the names that there are.
    """
    for name in names:
        if name not in FIELDS:
            raise faults.InvalidInput(
                "no such product field", field="fields", value=name, fix=f"one of {', '.join(FIELDS)}."
            )


class ProductTable:
    """A product table, open for reading. Immutable: any thread may read.

    Args:
        path: what ``write_product_table`` wrote.

    Raises:
        faults.NotFound: no such file.
        faults.StorageFailed: the file is torn or no Arrow file.
        faults.Mismatch: it is a table of another shape than this code reads.
    """

    def __init__(self, path: Path) -> None:
        self._batch = _open(path)
        self._columns = {name: self._batch.column(name) for name in SCHEMA.names}
        self._hashes: NDArray[np.uint64] = self._columns[LOOKUP_HASH].to_numpy()
        self._lookup_rows: NDArray[np.uint32] = self._columns[LOOKUP_ROW].to_numpy()

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def column(self, name: str) -> Any:
        """Returns the Arrow array of one field, for filters.

        Raises:
            faults.InvalidInput: no such field.
        """
        check_fields((name,))
        return self._columns[name]

    def row_of(self, product_id: str) -> int | None:
        """Returns the row of a product, or None where the release has no such product."""
        ids = self._columns["product_id"]
        return find_row(product_id, self._hashes, self._lookup_rows, lambda row: str(ids[row].as_py()))

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Returns the product ids of rows [m], each in 0..N-1."""
        found: list[str] = self._take("product_id", rows)
        return found

    def fields(self, rows: NDArray[np.int64], names: Sequence[str]) -> dict[str, list[Any]]:
        """Returns the named fields of rows [m], each in 0..N-1.

        Missing words and texts are "", missing numbers and truth values None.

        Raises:
            faults.InvalidInput: an unknown field.
        """
        check_fields(names)
        return {name: self._take(name, rows) for name in names}

    def _take(self, name: str, rows: NDArray[np.int64]) -> list[Any]:
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise faults.InternalError("a row outside the product table", field="rows", value=len(self))
        values: list[Any] = self._columns[name].take(pa.array(rows, pa.int64())).to_pylist()
        if name in WORDS or name in TEXTS:
            return [value or "" for value in values]
        return values


def _array(name: str, values: Sequence[Any] | None, length: int) -> Any:
    kind = SCHEMA.field(name).type
    if values is None:
        return pa.nulls(length, kind)
    try:
        if name in WORDS:
            texts = pa.array([value or None for value in values], pa.large_string())
            return texts.dictionary_encode().cast(kind)
        if name in TEXTS:
            return pa.array([value or None for value in values], kind)
        return pa.array(values, kind, from_pandas=True)  # NaN means missing, as null does
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise faults.InvalidInput(
            f"the column does not hold {kind}: {error}",
            field=name,
            fix="read the catalogue with catalog.readers.",
        ) from error


def _open(path: Path) -> Any:
    if not path.is_file():
        raise faults.NotFound(
            "the release has no product table",
            field="products",
            value=str(path),
            fix="publish the release again.",
        )
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path)))
        schema, batches = table.schema, table.num_record_batches
        batch = table.get_batch(0) if batches == 1 else None
    except (pa.ArrowInvalid, OSError) as error:
        raise faults.StorageFailed(
            f"the product table cannot be read: {error}",
            field="products",
            value=str(path),
            fix="copy the release again from where it was published.",
        ) from error
    if batch is None or not schema.equals(SCHEMA, check_metadata=True):
        raise faults.Mismatch(
            "product table",
            expected=SCHEMA.names,
            found=schema.names,
            fix="publish the release again with this version of Vitrine.",
        )
    return batch
