"""The vectors of a release: one float32 matrix in a .npy file, memory-mapped.

They are kept beside the index for three jobs: a product-id query takes its vector from here,
hits are scored with them, and narrow filters are answered by scanning them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import faults
from releases.files import atomic_path, storage_errors

__all__ = ["check_vectors", "open_vectors", "write_vectors"]

_BLOCK_ROWS = 65_536


def check_vectors(vectors: NDArray[np.float32]) -> None:
    """Refuses what cannot be searched.

    Raises:
        faults.InvalidInput: not a float32 matrix, empty, or a row that holds NaN or infinity.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float32 or 0 in vectors.shape:
        raise faults.InvalidInput(
            "vectors must be a float32 matrix [N, dim] with at least one row",
            field="vectors",
            value=(vectors.shape, str(vectors.dtype)),
            fix="index a catalogue with at least one product.",
        )
    for start in range(0, len(vectors), _BLOCK_ROWS):
        bad = np.flatnonzero(~np.isfinite(vectors[start : start + _BLOCK_ROWS]).all(axis=1))
        if len(bad):
            raise faults.InvalidInput(
                f"{len(bad)} vectors hold NaN or infinity",
                field="vectors",
                value=f"rows {[int(row) + start for row in bad[:5]]}",
                fix="the product tower overflows on these products: export it with a higher precision.",
            )


def write_vectors(path: Path, vectors: NDArray[np.float32]) -> None:
    """Writes float32 [N, dim] in whole or not at all.

    Raises:
        faults.InvalidInput: see ``check_vectors``.
        faults.StorageFailed: the disk is full or read-only.
    """
    check_vectors(vectors)
    with (
        storage_errors(path.parent, "no vectors were written"),
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
    ):
        rows = np.ascontiguousarray(vectors)
        header = np.lib.format.header_data_from_array_1_0(rows)
        np.lib.format.write_array_header_1_0(file, header)
        # Not np.save: it writes past Python's file, and a full disk loses its errno on that way.
        file.write(rows.data)


def open_vectors(path: Path) -> NDArray[np.float32]:
    """Maps the matrix into memory, read-only; pages come in as they are touched.

    Raises:
        faults.NotFound: no such file.
        faults.StorageFailed: it is not the file that ``write_vectors`` writes, or it is torn.
    """
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise faults.NotFound(
            "the release has no vectors", field="vectors", value=str(path), fix="publish the release again."
        ) from error
    except (ValueError, EOFError, OSError) as error:
        raise faults.StorageFailed(
            f"the vectors cannot be read: {error}",
            field="vectors",
            value=str(path),
            fix="copy the release again from where it was published.",
        ) from error
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise faults.StorageFailed(
            "the vectors are not a float32 matrix",
            field="vectors",
            value=(vectors.shape, str(vectors.dtype)),
            fix="publish the release again.",
        )
    mapped: NDArray[np.float32] = vectors
    return mapped
