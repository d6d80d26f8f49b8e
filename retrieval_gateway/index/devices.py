"""Opens a release's index for serving: on the CPU, or on a GPU with the CPU's behind it.

A copy on the GPU is used only when, and as deep as, it agrees with the CPU index, which passed the
recall gate, on queries near the stored vectors. ``auto`` takes a GPU where FAISS can use one and otherwise
the CPU; ``gpu`` refuses where it cannot, because whoever asks for it has sized the machines for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import structlog
from numpy.typing import NDArray

import faults
from retrieval_gateway.index.batch_owner import BatchOwner, SearchBatch
from retrieval_gateway.index.builder import load_index
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.gpu_copies import Copy, gpu_copies, why_no_gpu
from retrieval_gateway.index.offloaded_index import OffloadedIndex
from retrieval_gateway.index.ranking import SPARE, score_rows
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import VectorIndex

__all__ = ["IndexDevice", "offload", "open_index", "require_device"]

log = structlog.get_logger(__name__)

IndexDevice = Literal["auto", "cpu", "gpu"]

_QUERIES = 32
_LEAST_DEPTH = 128
_LEAST_AGREEMENT = 0.98
_ROUNDING = 1e-6


def require_device(device: IndexDevice) -> None:
    """Refuses a device that this machine does not have, so that a gateway can say so when it starts.

    Raises:
        faults.NotFound: ``gpu``, and FAISS cannot use one here.
    """
    reason = why_no_gpu() if device == "gpu" else None
    if reason is not None:
        raise faults.NotFound(
            f"the index cannot be searched on a GPU: {reason}",
            field="VITRINE_INDEX_DEVICE",
            value=device,
            fix="pip install 'vitrine[gpu]' on a machine with an NVIDIA GPU, or set auto or cpu.",
        )


def open_index(
    path: Path, vectors: NDArray[np.float32], spec: IndexSpec, device: IndexDevice = "cpu"
) -> VectorIndex:
    """Opens an index file where the setting says; ``close`` it when it has served.

    Args:
        path: what ``save_index`` wrote.
        vectors: the release's vectors, float32 [N, dim].
        spec: from the release's manifest.
        device: see ``IndexDevice``.

    Raises:
        faults.NotFound: no such file, or ``gpu`` where there is none.
        faults.StorageFailed: the file is torn or no FAISS index.
        faults.Mismatch: it is another index than the manifest says.
        faults.Unavailable: ``gpu``, and the GPU cannot hold or search this index.
    """
    require_device(device)
    cpu = load_index(path, vectors, spec)
    if device == "cpu" or why_no_gpu() is not None:
        return cpu
    try:
        return offload(cpu, gpu_copies(cpu))
    except faults.Unavailable as error:
        if device == "gpu":
            raise
        log.warning("the index is searched on the CPU", reason=str(error))
        return cpu


def offload(cpu: FaissIndex, copies: Sequence[Copy]) -> OffloadedIndex:
    """Returns the CPU index behind an owner of the first copy that can be opened and agrees with it.

    Raises:
        faults.Unavailable: there is no such copy; says why, copy by copy.
    """
    problems = []
    for copy in copies:
        trial = _Trial(copy, cpu)
        try:
            owner = BatchOwner(trial.open)
        except Exception as error:  # whatever FAISS, CUDA or its memory may raise
            problems.append(f"{copy.name}: {type(error).__name__}: {str(error).rpartition('Error: ')[2]}")
        else:
            return OffloadedIndex(cpu, owner, trial.depth)
    raise faults.Unavailable(f"no copy of the index can be used: {'; '.join(problems)}", field="index")


class _Trial:
    """Opens a copy and finds out how deep it agrees with the CPU index, which looks on until it has enough.

    Attributes:
        depth: rows a query up to which it agrees; 0 before it is opened.
    """

    def __init__(self, copy: Copy, cpu: FaissIndex) -> None:
        self._copy = copy
        self._cpu = cpu
        self.depth = 0

    def open(self) -> SearchBatch:
        """Returns the copy's search.

        Raises:
            faults.GateFailed: it does not even agree on the least depth.
        """
        search = self._copy.open()
        width, agreement = _LEAST_DEPTH, 1.0
        while width <= self._copy.most_candidates:
            agreement = self._agreement(search, width)
            if agreement < _LEAST_AGREEMENT:
                break
            self.depth, width = width, 2 * width
        if not self.depth:
            raise faults.GateFailed(
                "it finds too few of the CPU index's neighbours",
                field=self._copy.name,
                value=round(agreement, 4),
                fix=f"at least {_LEAST_AGREEMENT} is asked for; set VITRINE_INDEX_DEVICE=cpu.",
            )
        return search

    def _agreement(self, search: SearchBatch, width: int) -> float:
        """Returns the share of the CPU's neighbours that the copy proposes, or others as near."""
        vectors, k = self._cpu.vectors, min(width - SPARE, self._cpu.count)
        queries = _near_stored(vectors)
        rows = np.ascontiguousarray(search(queries, width))
        if rows.shape != (len(queries), width) or rows.max() >= len(vectors):
            raise faults.InternalError("rows that the index does not have", field="index", value=rows.shape)
        least = self._cpu.search(queries, k).scores[:, -1:] - _ROUNDING
        found = (score_rows(vectors, queries, rows) >= least).sum(axis=1)
        return float(np.minimum(found, k).mean() / k)


def _near_stored(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns queries float32 [32, dim]: stored vectors moved by noise, as a shopper's lie near products."""
    random = np.random.default_rng(0)
    chosen = vectors[random.integers(0, len(vectors), _QUERIES)]
    noise = random.standard_normal(chosen.shape, dtype=np.float32) / np.float32(chosen.shape[1] ** 0.5)
    moved = chosen + np.float32(0.3) * noise
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)
