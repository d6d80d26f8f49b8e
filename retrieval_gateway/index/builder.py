"""Building an index from vectors, and keeping it in a file that opens by mapping.

Building is offline work and may use every core; searching never does (see ``faiss_index``).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import faults
from releases.files import atomic_path, storage_errors
from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.vectors import check_vectors

__all__ = ["build_index", "load_index", "save_index"]

_MOST_POINTS_PER_LIST = 64
"""k-means gains nothing from more, and its time grows with them."""


def build_index(vectors: NDArray[np.float32], spec: IndexSpec | None = None, *, seed: int = 0) -> FaissIndex:
    """Builds an index over vectors.

    Args:
        vectors: float32 [N, dim], L2-normalised for cosine similarity; kept, not copied where C-contiguous.
        spec: what to build; chosen by N where it is None.
        seed: of the k-means sample; the same seed and SIMD level give the same lists.

    Raises:
        faults.InvalidInput: vectors that cannot be searched, or more lists than vectors.
    """
    check_vectors(vectors)
    vectors = np.ascontiguousarray(vectors)
    spec = spec or IndexSpec.for_count(len(vectors))
    if spec.nlist > len(vectors):
        raise faults.InvalidInput(
            f"there are more lists than vectors ({len(vectors)})",
            field="index.nlist",
            value=spec.nlist,
            fix="fewer lists, or a flat index.",
        )
    faiss = faiss_module()
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    dim = vectors.shape[1]
    if spec.kind == "flat":
        index = faiss.IndexFlatIP(dim)
    else:
        index = faiss.index_factory(dim, f"IVF{spec.nlist},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = seed
        index.cp.spherical = True  # centroids of unit vectors, compared by inner product
        index.cp.min_points_per_centroid = 1  # few points are a choice of the spec, not worth a warning
        index.cp.max_points_per_centroid = _MOST_POINTS_PER_LIST
        index.train(vectors)
    index.add(vectors)
    return FaissIndex(index, vectors, spec)


def save_index(path: Path, index: FaissIndex) -> None:
    """Writes the index file in whole or not at all.

    Raises:
        faults.StorageFailed: the disk is full or read-only.
    """
    with storage_errors(path.parent, "no index was written"), atomic_path(path) as temporary:
        faiss_module().write_index(index.faiss_index, str(temporary))


def load_index(path: Path, vectors: NDArray[np.float32], spec: IndexSpec) -> FaissIndex:
    """Maps an index file into memory, so that a large one opens in milliseconds.

    Args:
        path: what ``save_index`` wrote.
        vectors: the release's vectors, float32 [N, dim].
        spec: from the release's manifest.

    Raises:
        faults.NotFound: no such file.
        faults.StorageFailed: the file is torn or no FAISS index.
        faults.Mismatch: it is another index than the manifest says.
    """
    if not path.is_file():
        raise faults.NotFound(
            "the release has no index file", field="index", value=str(path), fix="publish the release again."
        )
    faiss = faiss_module()
    faiss.omp_set_num_threads(1)  # a release is opened beside the one that serves
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise faults.StorageFailed(
            f"the index cannot be read: {str(error).splitlines()[0]}",
            field="index",
            value=str(path),
            fix="copy the release again from where it was published.",
        ) from error
    return FaissIndex(index, vectors, spec)
