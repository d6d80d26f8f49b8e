"""The recall gate: an index that loses neighbours is not published."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evaluation.exact import exact_search, recall_at_k
from faults import GateFailed
from releases.manifest import GateReport
from retrieval_gateway.index.builder import build_index
from retrieval_gateway.index.faiss_index import FaissIndex
from retrieval_gateway.index.spec import IndexSpec
from retrieval_gateway.index.types import VectorIndex

MINIMUM_RECALL = 0.98
_QUERIES = 512
_K = 100


def gated_index(
    vectors: npt.NDArray[np.float32], spec: IndexSpec | None = None
) -> tuple[FaissIndex, GateReport]:
    """Builds an index and raises its nprobe until it passes the gate.

    Args:
        vectors: float32[N,dim], L2-normalised.
        spec: what to build; chosen by N where it is None.

    Raises:
        GateFailed: even probing every list it loses too many neighbours.
    """
    index = build_index(vectors, spec)
    while True:
        report = measure_recall(index, vectors)
        if report.passed:
            return index, report
        nprobe = min(2 * index.spec.nprobe, index.spec.nlist)
        if nprobe == index.spec.nprobe:
            raise GateFailed(
                f"the {index.kind} index loses too many of the exact neighbours: {report.measured}",
                field=report.name,
                value=index.spec.parameters(),
                fix=f"At least {MINIMUM_RECALL} is asked for; build a flat index. Nothing was published.",
            )
        index = index.with_nprobe(nprobe)


def measure_recall(index: VectorIndex, vectors: npt.NDArray[np.float32], seed: int = 0) -> GateReport:
    """Measures recall@100 against exact search, with queries near the catalogue's own vectors.

    Half of the queries are stored vectors; the other half are stored vectors moved by
    noise, as a shopper's query is near a product but on none.

    Args:
        index: built over ``vectors``.
        vectors: float32[N,dim], L2-normalised.
        seed: of the sample.
    """
    random = np.random.default_rng(seed)
    k = min(_K, len(vectors))
    chosen = vectors[random.integers(0, len(vectors), _QUERIES)]
    noise = random.standard_normal(chosen.shape).astype(np.float32) / np.sqrt(chosen.shape[1])
    queries = np.where(np.arange(_QUERIES)[:, None] % 2 == 0, chosen, chosen + 0.5 * noise).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found = index.search(queries, k)
    recall = recall_at_k(found.rows, found.scores, *exact_search(vectors, queries, k))
    return GateReport(
        name="recall of the index",
        passed=recall >= MINIMUM_RECALL,
        measured={"recall_at_100": recall},
        thresholds={"recall_at_100": MINIMUM_RECALL},
    )
