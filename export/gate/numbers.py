"""The numeric gate: an engine must give PyTorch's vectors, whatever stands beside a row.

Three comparisons on ordinary and hostile rows: with PyTorch in float32; of each row alone
with the same row in batches of several sizes and padded to several lengths; and of every
vector's length with 1. A number that is none fails all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.cosine import cosine_tails
from export.gate.engine import Array, Engine, TorchEngine
from export.gate.samples import Sample, feed_of
from export.gate.thresholds import Limits
from export.gate.verdict import verdict
from export.onnx_export import TowerGraph
from releases.manifest import GateReport

_ASKED = (
    "mean_cosine",
    "p1_cosine",
    "minimum_cosine",
    "minimum_cosine_in_company",
    "largest_norm_error",
    "largest_weight_difference",
)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shapes:
    """The batch sizes and lengths in which an engine will serve.

    Args:
        batches: rows a batch.
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
    graph: TowerGraph, reference_rows: Sequence[Sample], candidate: Candidate, views: int, limits: Limits
) -> GateReport:
    """Compares a candidate with its tower in PyTorch; see the module's text.

    Args:
        graph: the tower.
        reference_rows: the candidate's rows, tokenised with the tokenizer of the training.
        candidate: the engine.
        views: pictures a product.
        limits: what is asked.

    Raises:
        GateFailed: the engine fails, or a limit is missed; the worst inputs are named.
    """
    run = _Runner(graph, candidate, views)
    expected = TorchEngine(graph).run(feed_of(reference_rows, graph.inputs, views))
    alone = run.in_company(1, 0)
    to_torch = _Comparison(expected, alone)
    measured, offenders = to_torch.measured(), to_torch.worst(candidate.rows, "")
    companies = []
    for rows, length in _companies(candidate.shapes):
        compared = _Comparison(alone, run.in_company(rows, length))
        companies.append(compared)
        where = f" in batches of {rows}" + (f" padded to {length}" if length else "")
        offenders += compared.worst(candidate.rows, where, below=limits.minimum_cosine_in_company)
    measured["minimum_cosine_in_company"] = min(company.tails.minimum for company in companies)
    measured["largest_norm_error"] = float(np.abs(np.linalg.norm(alone[0], axis=1) - 1).max())
    asked = limits.subset(_ASKED)
    if len(expected) > 1:
        # numpy's maximum: Python's may lose a NaN.
        differences = [entry.weight_difference() for entry in (to_torch, *companies)]
        measured["largest_weight_difference"] = float(np.max(differences))
    else:
        del asked["largest_weight_difference"]
    return verdict(f"numbers of {graph.name}", measured, asked, offenders)


class _Runner:
    """Runs all rows of a candidate in one kind of company."""

    def __init__(self, graph: TowerGraph, candidate: Candidate, views: int) -> None:
        self._inputs, self._views = graph.inputs, views
        self._candidate = candidate
        # Neighbours should be strangers: in their first order rows of a kind stand together.
        self._order = list(range(len(candidate.rows)))
        random.Random(0).shuffle(self._order)

    def in_company(self, rows: int, length: int) -> list[Array]:
        """Returns the outputs for all rows, run ``rows`` at a time and padded to ``length``."""
        found = [self._run(batch, length) for batch in _batches(self._order, rows)]
        back = np.argsort(self._order)
        return [np.concatenate(parts)[: len(back)][back] for parts in zip(*found, strict=True)]

    def _run(self, places: Sequence[int], length: int) -> list[Array]:
        rows = [self._candidate.rows[place] for place in places]
        shapes = self._candidate.shapes
        return self._candidate.engine.run(
            feed_of(rows, self._inputs, self._views, shapes.multiple_of, length, shapes.max_tokens)
        )


def _batches(order: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Cuts into full batches; the last one is filled up with rows from the beginning."""
    for start in range(0, len(order), rows):
        yield [order[place % len(order)] for place in range(start, start + rows)]


def _companies(shapes: Shapes) -> Iterator[tuple[int, int]]:
    yield from ((rows, 0) for rows in shapes.batches)
    yield from ((shapes.batches[0], length) for length in shapes.lengths)


class _Comparison:
    """Two runs of the same rows."""

    def __init__(self, one: Sequence[Array], other: Sequence[Array]) -> None:
        self._one, self._other = one, other
        self.tails = cosine_tails(_vectors(one), _vectors(other))

    def measured(self) -> dict[str, float]:
        return {
            "mean_cosine": self.tails.mean,
            "p1_cosine": self.tails.p1,
            "minimum_cosine": self.tails.minimum,
            "not_finite_rows": float(len(self.tails.not_finite_rows)),
        }

    def weight_difference(self) -> float:
        """Returns the largest difference of a modality weight; NaN where one is none."""
        return float(np.abs(self._one[1].astype(np.float32) - self._other[1].astype(np.float32)).max())

    def worst(self, rows: Sequence[Sample], where: str, below: float = 1.0) -> list[str]:
        """Names rows: those whose weights are no numbers, then the smallest cosines under ``below``."""
        one, other = _vectors(self._one), _vectors(self._other)
        named = [
            place
            for place in self.tails.worst_rows
            if cosine_tails(one[place : place + 1], other[place : place + 1]).minimum < below
        ]
        if len(self._other) > 1:
            named = [*np.flatnonzero(~np.isfinite(self._other[1]).all(axis=1)), *named]
        return [f"{rows[place].name}{where}" for place in named]


def _vectors(outputs: Sequence[Array]) -> Vectors:
    return outputs[0].astype(np.float32, copy=False)
