"""Files to columns: Parquet or CSV in, a mapping of column name to Python values out.

Knows nothing of products. It exists so that the readers above see one shape, whichever
of the two forms a catalogue comes in, and so that every unreadable file is refused in
the same words.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.complaints import complaint, examples_of

__all__ = ["Columns", "first_existing", "read_columns", "read_parquet_table", "require_columns"]

Columns: TypeAlias = dict[str, list[object]]

_LONGEST_CSV_FIELD = 16 * 1024 * 1024


def first_existing(folder: Path, *names: str) -> Path | None:
    """Returns the first of the named files that lies in ``folder``, or None."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Columns:
    """Reads the wanted columns of a ``.parquet`` or ``.csv`` file; others are ignored.

    Returns:
        Column name to values, all of one length. An absent optional column has no entry.

    Raises:
        CatalogueError: the file cannot be read, or a required column is missing.
    """
    if path.suffix == ".parquet":
        table = read_parquet_table(path, required, optional)
        return {name: table.column(name).to_pylist() for name in table.column_names}
    return _read_csv(path, required, optional)


def read_parquet_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
    """Reads the wanted columns of a Parquet file as an Arrow table; raises CatalogueError."""
    try:
        file = pq.ParquetFile(path)
        found = file.schema_arrow.names
        require_columns(path.name, required, found)
        wanted = [name for name in (*required, *optional) if name in found]
        return file.read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise complaint(
            f"not a readable Parquet file ({str(error).splitlines()[0]}).",
            where=str(path),
            fix="Write the file again; it is damaged, or not Parquet.",
        ) from error


def require_columns(file_name: str, required: Sequence[str], found: Sequence[str]) -> None:
    """Raises CatalogueError, listing what was found, if a required column is missing."""
    missing = [name for name in required if name not in found]
    if missing:
        raise complaint(
            f"missing columns {', '.join(missing)}; found {', '.join(found) or 'none'}.",
            where=file_name,
            fix=f"Add them, or rename the columns that hold them. Required: {', '.join(required)}.",
        )


def _read_csv(path: Path, required: Sequence[str], optional: Sequence[str]) -> Columns:
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CSV_FIELD))
            rows = list(csv.reader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise complaint(
            f"not a readable CSV file ({error}).",
            where=str(path),
            fix="Save it as CSV in UTF-8, fields with commas or line breaks in double quotes.",
        ) from error
    rows = [row for row in rows if row]
    header = rows[0] if rows else []
    require_columns(path.name, required, header)
    _require_even_rows(path, header, rows[1:])
    wanted = [name for name in (*required, *optional) if name in header]
    places = {name: header.index(name) for name in wanted}
    return {name: [row[place] for row in rows[1:]] for name, place in places.items()}


def _require_even_rows(path: Path, header: list[str], rows: list[list[str]]) -> None:
    ragged = [number for number, row in enumerate(rows, start=1) if len(row) != len(header)]
    if ragged:
        raise complaint(
            f"{len(ragged)} rows do not have {len(header)} fields as the header has:"
            f" data rows {examples_of(ragged)}.",
            where=str(path),
            fix="Put fields that hold commas, quotes or line breaks in double quotes.",
        )
