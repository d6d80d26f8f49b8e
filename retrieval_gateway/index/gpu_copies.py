"""Copies of a CPU index on a GPU, each as a function that opens it; no other file knows FAISS's GPU classes.

Flat and inverted lists are cloned from the index that was loaded, lists and codes as they are. Where the
vectors fit, a CAGRA graph is built from them first: Ootomo et al., "CAGRA: Highly Parallel Graph
Construction and Approximate Nearest Neighbor Search for GPUs" (ICDE 2024), through cuVS. What is opened must
agree with the CPU index before it is used (``devices``), so a graph that does not suit the vectors
costs a slower start and nothing else.

Everything here runs in the owner's thread. FAISS takes its temporary memory when the resources are
made; it is bounded, because by default it is a good part of the GPU, in every gateway process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval_gateway.index.batch_owner import SearchBatch
from retrieval_gateway.index.faiss_import import faiss_module
from retrieval_gateway.index.faiss_index import FaissIndex

__all__ = ["Copy", "gpu_copies", "why_no_gpu"]

_TEMPORARY_BYTES = 256 * 2**20
_DEVICE = 0
_MOST_CANDIDATES = 2048
"""FAISS's own kernels select no more, neither neighbours nor lists."""
_PLAIN_WIDTH = 128

_GRAPH_BYTES = 8 * 2**30
"""Vectors and graph, as large as they are while they are built; larger indexes are inverted lists."""
_GRAPH_DEGREE = 64
_GRAPH_CANDIDATES = 256
_GRAPH_EFFORT = 512
"""Length of the search's internal list; it holds the candidates, and one block of threads holds no more."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that could be opened.

    Attributes:
        name: for logs and errors.
        open: opens it, in the thread that will search it.
        most_candidates: rows a query that it can propose.
    """

    name: str
    open: Callable[[], SearchBatch]
    most_candidates: int


def why_no_gpu() -> str | None:
    """Returns why FAISS cannot use a GPU here, or None where it can."""
    faiss = faiss_module()
    if not hasattr(faiss, "StandardGpuResources"):
        return f"FAISS {faiss.__version__} is built without GPU support"
    if not faiss.get_num_gpus():
        return f"FAISS {faiss.__version__} sees no GPU"
    return None


def gpu_copies(cpu: FaissIndex) -> list[Copy]:
    """Returns the copies to try, the fastest first."""
    clone = Copy(f"{cpu.kind} clone", partial(_clone, cpu), _MOST_CANDIDATES)
    graph_bytes = 2 * cpu.count * (4 * cpu.dim + 4 * _GRAPH_DEGREE)
    if cpu.kind == "flat" or graph_bytes > _GRAPH_BYTES or not hasattr(faiss_module(), "GpuIndexCagra"):
        return [clone]
    return [Copy("CAGRA graph", partial(_graph, cpu), _GRAPH_CANDIDATES), clone]


@dataclass(frozen=True, slots=True)
class _OnGpu:
    """An index on the GPU; ``vectors`` stay because the graph's index keeps their address."""

    index: Any
    parameters: Callable[[int], Any]
    vectors: NDArray[np.float32]

    def __call__(self, queries: NDArray[np.float32], width: int) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self.index.search(queries, width, params=self.parameters(width))[1]
        return rows


def _clone(cpu: FaissIndex) -> SearchBatch:
    faiss = faiss_module()

    def parameters(width: int) -> Any:
        """More lists for more neighbours, in proportion: no GPU index goes on until it has found enough."""
        if cpu.kind == "flat":
            return None
        nprobe = min(cpu.spec.nlist, _MOST_CANDIDATES, cpu.spec.nprobe * max(1, width // _PLAIN_WIDTH))
        return faiss.SearchParametersIVF(nprobe=nprobe)

    return _OnGpu(faiss.index_cpu_to_gpu(_resources(), _DEVICE, cpu.faiss_index), parameters, cpu.vectors)


def _graph(cpu: FaissIndex) -> SearchBatch:
    faiss = faiss_module()
    config = faiss.GpuIndexCagraConfig()
    config.device = _DEVICE
    config.graph_degree, config.intermediate_graph_degree = _GRAPH_DEGREE, 2 * _GRAPH_DEGREE
    # Of unit vectors the nearest have the largest inner product, and graphs are made for distances.
    index = faiss.GpuIndexCagra(_resources(), cpu.dim, faiss.METRIC_L2, config)
    index.train(cpu.vectors)
    parameters = faiss.SearchParametersCagra()
    parameters.itopk_size = _GRAPH_EFFORT
    return _OnGpu(index, lambda _: parameters, cpu.vectors)


def _resources() -> Any:
    """Returns resources with bounded memory; the index that takes them keeps them."""
    resources = faiss_module().StandardGpuResources()
    resources.setTempMemory(_TEMPORARY_BYTES)
    return resources
