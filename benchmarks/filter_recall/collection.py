"""A shop of vectors to search: kinds, styles within kinds, products within styles; and filters over it.

Seeded numpy, so that the same command makes the same collection everywhere (up to the last digits of
matrix products, of which there are none here but norms).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FILTERS", "Collection", "make_collection"]

_KINDS = 40
_PRODUCTS_A_STYLE = 50
_SPREAD = 0.8
"""Length of the noise around a centre of length 1, at each level: neighbours come from several styles."""


@dataclass(frozen=True)
class Collection:
    """Vectors to search and queries like them.

    Attributes:
        vectors: float32 [N, dim], L2-normalised.
        queries: float32 [Q, dim], L2-normalised, drawn as the vectors are and not among them.
        kinds: int64 [N], the kind of each vector, as a category is.
    """

    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]
    kinds: NDArray[np.int64]


def make_collection(count: int, dim: int, queries: int, seed: int = 0) -> Collection:
    """Makes a collection of ``count`` vectors and some queries; the seed decides every number."""
    random = np.random.default_rng(seed)
    centres = _unit(random.standard_normal((_KINDS, dim)))
    kind_of_style, styles = _around(centres, max(1, count // _PRODUCTS_A_STYLE), random)
    style, vectors = _around(styles, count + queries, random)
    return Collection(vectors[:count], vectors[count:], kind_of_style[style[:count]])


def _around(
    centres: NDArray[np.float32], count: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    chosen = random.integers(0, len(centres), count)
    dim = centres.shape[1]
    noise = random.standard_normal((count, dim), dtype=np.float32) * np.float32(_SPREAD / dim**0.5)
    return chosen, _unit(centres[chosen] + noise)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _independent(collection: Collection, allowed: int, random: np.random.Generator) -> NDArray[np.int64]:
    return random.choice(len(collection.vectors), allowed, replace=False)


def _whole_kinds(collection: Collection, allowed: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Kind by kind, the last one in part: most queries are then far from everything that is allowed."""
    rank = random.permutation(_KINDS)[collection.kinds]
    return np.argsort(rank, kind="stable")[:allowed]


def _one_side(collection: Collection, allowed: int, random: np.random.Generator) -> NDArray[np.int64]:
    """What is nearest to one product: a corner of the space that cuts through kinds and styles."""
    centre = collection.vectors[random.integers(len(collection.vectors))]
    nearness = np.einsum("nd,d->n", collection.vectors, centre)
    return np.argsort(-nearness, kind="stable")[:allowed]


FILTERS: dict[str, Callable[[Collection, int, np.random.Generator], NDArray[np.int64]]] = {
    "independent": _independent,
    "whole kinds": _whole_kinds,
    "one side": _one_side,
}
"""By name: which rows of a collection a filter allows, given how many."""
