"""Indexes behind one interface: numpy queries in, rows out; FAISS on GPU, FAISS on CPU, and torch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu_check.vectors import Collection, Rows, Vectors, exact

Search = Callable[[Vectors, int], Rows]

NPROBES = (8, 32, 128)
ITOPKS = (128, 256, 512)

_GRAPH_DEGREE = 64
_POINTS_PER_LIST = 64
"""k-means gains nothing from more."""


@dataclass(frozen=True)
class Built:
    """An index and its settings, each a way to search it."""

    settings: Mapping[str, Search]


@dataclass(frozen=True)
class Kind:
    """A kind of index.

    Attributes:
        name: as in the result.
        build: makes it of a collection; raises with the reason where it cannot.
    """

    name: str
    build: Callable[[Collection], Built]


def kinds(device: str, lists: int) -> list[Kind]:
    """Returns what is compared: exact first, the CPU's yardstick last, for it takes longest to build.

    Args:
        device: ``cuda``, or ``cpu``, where FAISS for the CPU stands in.
        lists: inverted lists of IVF.
    """
    return [
        Kind("exact, torch", _torch_exact),
        Kind("flat, FAISS", lambda collection: _flat(collection, device)),
        Kind("IVF, FAISS", lambda collection: _ivf(collection, lists, device)),
        Kind("CAGRA, FAISS", _cagra),
        Kind("IVF SQ8, FAISS on CPU", lambda collection: _cpu_ivf(collection, lists)),
    ]


def _torch_exact(collection: Collection) -> Built:
    def search(queries: Vectors, k: int) -> Rows:
        there = torch.from_numpy(queries).to(collection.vectors.device)
        found: Rows = exact(collection.vectors, there, k)[1].cpu().numpy()
        return found

    return Built({"": search})


def _flat(collection: Collection, device: str) -> Built:
    faiss, dim = _faiss(), collection.vectors.shape[1]
    keep: list[Any] = []
    if device == "cuda":
        keep.append(_gpu_resources(faiss))
        index = faiss.GpuIndexFlatIP(keep[0], dim)
    else:
        index = faiss.IndexFlatIP(dim)
    index.add(_host(collection))
    return Built({"": _search(index, keep)})


def _ivf(collection: Collection, lists: int, device: str) -> Built:
    faiss, dim = _faiss(), collection.vectors.shape[1]
    keep: list[Any] = []
    if device == "cuda":
        keep.append(_gpu_resources(faiss))
        index = faiss.GpuIndexIVFFlat(keep[0], dim, lists, faiss.METRIC_INNER_PRODUCT)
    else:
        keep.append(faiss.IndexFlatIP(dim))
        index = faiss.IndexIVFFlat(keep[0], dim, lists, faiss.METRIC_INNER_PRODUCT)
    vectors = _host(collection)
    _train(index, vectors)
    index.add(vectors)
    return Built(_by_nprobe(faiss, index, lists, keep))


def _cagra(collection: Collection) -> Built:
    """A graph index; by L2, which on unit vectors ranks as the inner product does."""
    faiss = _faiss()
    if not hasattr(faiss, "GpuIndexCagra"):
        raise RuntimeError(f"FAISS {faiss.__version__} is built without CAGRA (needs faiss-gpu-cuvs)")
    resources = _gpu_resources(faiss)
    config = faiss.GpuIndexCagraConfig()
    config.graph_degree, config.intermediate_graph_degree = _GRAPH_DEGREE, 2 * _GRAPH_DEGREE
    index = faiss.GpuIndexCagra(resources, collection.vectors.shape[1], faiss.METRIC_L2, config)
    vectors = _host(collection)
    index.train(vectors)
    settings: dict[str, Search] = {}
    for itopk in ITOPKS:
        parameters = faiss.SearchParametersCagra()
        parameters.itopk_size = itopk
        settings[f"itopk {itopk}"] = _search(index, [resources, config, vectors], parameters)
    return Built(settings)


def _cpu_ivf(collection: Collection, lists: int) -> Built:
    """The gateway's own index: inverted lists with a byte a number, here on all cores."""
    faiss, dim = _faiss(), collection.vectors.shape[1]
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    index = faiss.index_factory(dim, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    vectors = _host(collection)
    _train(index, vectors)
    index.add(vectors)
    return Built(_by_nprobe(faiss, index, lists, []))


def _train(index: Any, vectors: Vectors) -> None:
    index.cp.spherical = True  # centroids of unit vectors, compared by inner product
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _POINTS_PER_LIST
    index.train(vectors)


def _by_nprobe(faiss: Any, index: Any, lists: int, keep: list[Any]) -> dict[str, Search]:
    settings: dict[str, Search] = {}
    for nprobe in sorted({min(nprobe, lists) for nprobe in NPROBES}):
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        settings[f"nprobe {nprobe}"] = _search(index, keep, parameters)
    return settings


def _search(index: Any, keep: list[Any], parameters: Any = None) -> Search:
    """Binds an index and its parameters; ``keep`` is what FAISS holds a bare pointer to."""

    def search(queries: Vectors, k: int) -> Rows:
        found: Rows = index.search(queries, k, params=parameters)[1]
        return found

    search.__dict__["keep"] = keep
    return search


def _gpu_resources(faiss: Any) -> Any:
    if not hasattr(faiss, "StandardGpuResources"):
        raise RuntimeError(f"FAISS {faiss.__version__} has no GPU support (needs faiss-gpu-cuvs)")
    if not faiss.get_num_gpus():
        raise RuntimeError(f"FAISS {faiss.__version__} sees no GPU")
    return faiss.StandardGpuResources()


def _host(collection: Collection) -> Vectors:
    vectors: Vectors = collection.vectors.cpu().numpy()
    return vectors


def _faiss() -> Any:
    """Imports FAISS; torch came before it, which its GPU wheels need."""
    return importlib.import_module("faiss")
