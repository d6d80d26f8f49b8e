"""The numeric gate: an engine must give PyTorch's vectors, whatever stands beside a row.

Comparisons on ordinary and hostile rows: each row alone with PyTorch in float32; each row
alone with itself in batches of several sizes and under every padding; every vector's length
with 1. A number that is none fails all of them. A row that moves with its company would get
another vector at every search, since dynamic batching chooses the company.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluation.cosine import cosine_tails
from export.gate.engine import Array, Engine, TorchEngine
from export.gate.samples import Sample, feed_of
from export.gate.thresholds import Limits
from export.gate.verdict import missed, verdict
from export.onnx_export import TowerGraph
from releases.manifest import GateReport

_ASKED = (
    "mean_cosine",
    "p1_cosine",
    "minimum_cosine",
    "minimum_cosine_in_company",
    "largest_norm_error",
    "largest_weight_difference",
    "largest_weight_difference_in_company",
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shapes:
    """The batch sizes and lengths in which an engine will serve.

    Args:
        batches: rows a batch, ascending.
        lengths: tokens to which whole batches are padded.
        multiple_of: what the gateway pads every batch to on this target,
        max_tokens: but not to more than the tower takes.
    """

    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    multiple_of: int
    max_tokens: int

    @classmethod
    def of(cls, max_tokens: int, multiple_of: int, batches: tuple[int, ...]) -> Shapes:
        """Returns shapes with every length bucket and the longest text.

        Where the gateway pads, its buckets are tried; where it does not, the powers of two stand for all.
        """
        buckets = range(multiple_of, max_tokens, multiple_of) if multiple_of > 1 else (4, 8, 16, 32, 64, 128)
        below = {length for length in buckets if length < max_tokens}
        return cls(batches, tuple(sorted({*below, max_tokens})), multiple_of, max_tokens)

    def companies(self) -> Iterator[tuple[int, int]]:
        """Yields (rows, length): every batch size unpadded, the smallest and the largest at every length."""
        yield from ((rows, 0) for rows in self.batches)
        for rows in sorted({self.batches[0], self.batches[-1]}):
            yield from ((rows, length) for length in self.lengths)


@dataclass(frozen=True)
class Candidate:
    """One tower that wants to be published, and how it will be fed.

    Args:
        engine: what will serve.
        rows: tokenised with the tokenizer that will be published beside it.
        shapes: what is tried.
    """

    engine: Engine
    rows: Sequence[Sample]
    shapes: Shapes


def check_numbers(
    graph: TowerGraph,
    reference_rows: Sequence[Sample],
    candidate: Candidate,
    views: int,
    limits: Limits,
) -> GateReport:
    """Compares a candidate with its tower in PyTorch; see the module's text.

    Args:
        graph: the tower.
        reference_rows: the candidate's rows, tokenised with the tokenizer of the training.
        candidate: the engine.
        views: pictures a product.
        limits: what is asked.

    Raises:
        GateFailed: the engine fails, or a limit is missed; the inputs furthest off are named.
    """
    names = [row.name for row in candidate.rows]
    everyone = range(len(names))
    run = _Runner(graph, candidate, views)
    alone = run.outputs(everyone, 1, 0)
    expected = TorchEngine(graph).run(feed_of(reference_rows, graph.inputs, views))
    to_torch = _compared(names, expected, alone)
    companies = []
    for rows, length in candidate.shapes.companies():
        fitting = [place for place in everyone if not length or len(candidate.rows[place].ids) <= length]
        where = f" in batches of {rows}" + (f" padded to {length}" if length else "")
        found = run.outputs(fitting, rows, length)
        labels = [names[place] + where for place in fitting]
        companies.append(_compared(labels, [output[fitting] for output in alone], found))
    measured, offenders = _measured(to_torch, _joined(companies), weights=len(expected) > 1)
    asked = {name: limit for name, limit in limits.subset(_ASKED).items() if name in measured}
    worst = [label for name in missed(measured, asked) for label in offenders[name]]
    return verdict(f"numbers of {graph.name}", measured, asked, worst)


class _Runner:
    """Runs rows of a candidate in one kind of company."""

    def __init__(self, graph: TowerGraph, candidate: Candidate, views: int) -> None:
        self._inputs, self._views = graph.inputs, views
        self._candidate = candidate

    def outputs(self, places: Sequence[int], rows: int, length: int) -> list[Array]:
        """Returns the outputs for some rows in order, run ``rows`` at a time and padded to ``length``."""
        order = list(range(len(places)))
        # Neighbours should be strangers: in their first order rows of a kind stand together.
        random.Random(rows * 1000 + length).shuffle(order)
        found = [self._run([places[place] for place in batch], length) for batch in _batches(order, rows)]
        back = np.argsort(order)
        return [np.concatenate(parts)[: len(back)][back] for parts in zip(*found, strict=True)]

    def _run(self, places: Sequence[int], length: int) -> list[Array]:
        rows, shapes = [self._candidate.rows[place] for place in places], self._candidate.shapes
        return self._candidate.engine.run(
            feed_of(rows, self._inputs, self._views, shapes.multiple_of, length, shapes.max_tokens)
        )


def _batches(order: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Cuts into full batches; the last one is filled up with rows from the beginning."""
    for start in range(0, len(order), rows):
        yield [order[place % len(order)] for place in range(start, start + rows)]


class _Compared(NamedTuple):
    """Two runs of the same rows, row by row."""

    labels: list[str]
    cosines: Floats
    norm_errors: Floats
    """Of the second run."""
    weight_differences: Floats
    """Zeros for a tower without modality weights."""


def _compared(labels: list[str], one: Sequence[Array], other: Sequence[Array]) -> _Compared:
    vectors = [run[0].astype(np.float64) for run in (one, other)]
    cosines = [
        cosine_tails(vectors[0][row : row + 1], vectors[1][row : row + 1]).minimum
        for row in range(len(labels))
    ]
    differences = np.zeros(len(labels))
    if len(one) > 1:
        differences = np.abs(one[1].astype(np.float64) - other[1].astype(np.float64)).max(axis=1)
    return _Compared(labels, np.array(cosines), np.abs(np.linalg.norm(vectors[1], axis=1) - 1), differences)


def _joined(parts: Sequence[_Compared]) -> _Compared:
    labels = [label for part in parts for label in part.labels]
    return _Compared(labels, *(np.concatenate(column) for column in list(zip(*parts, strict=True))[1:]))


def _measured(
    to_torch: _Compared, company: _Compared, weights: bool
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Returns every measure, and for each the rows by which it is as bad as it is, the worst first."""
    by_cosine = _worst(to_torch.labels, -to_torch.cosines)
    norms = _joined([to_torch, company])
    measured = {
        "mean_cosine": float(to_torch.cosines.mean()),
        "p1_cosine": float(np.percentile(to_torch.cosines, 1)),
        "minimum_cosine": float(to_torch.cosines.min()),
        "minimum_cosine_in_company": float(company.cosines.min()),
        "not_finite_rows": float((~np.isfinite(norms.norm_errors)).sum()),
        # numpy's maximum: Python's may lose a NaN.
        "largest_norm_error": float(norms.norm_errors.max()),
    }
    offenders = {
        "mean_cosine": by_cosine,
        "p1_cosine": by_cosine,
        "minimum_cosine": by_cosine,
        "minimum_cosine_in_company": _worst(company.labels, -company.cosines),
        "largest_norm_error": _worst(norms.labels, norms.norm_errors),
    }
    if weights:
        for name, compared in (
            ("largest_weight_difference", to_torch),
            ("largest_weight_difference_in_company", company),
        ):
            measured[name] = float(compared.weight_differences.max())
            offenders[name] = _worst(compared.labels, compared.weight_differences)
    return measured, offenders


def _worst(labels: Sequence[str], badness: Floats) -> list[str]:
    order = np.argsort(-np.nan_to_num(badness, nan=np.inf), kind="stable")
    return [labels[place] for place in order[:5]]
