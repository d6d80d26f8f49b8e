"""Collections to search: clusters on the unit sphere, as embeddings of a shop lie, and exact answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_GROUPS = (5000, 50)
"""Vectors of a kind and of a style: a hundred neighbours are of several styles, so recall is not free."""
_SPREAD = 0.8
"""Length of the noise beside a centre of length 1, at each level."""
_BLOCK = 65_536


@dataclass(frozen=True)
class Collection:
    """Vectors float32[N,dim] and queries float32[Q,dim], L2-normalised, on a device."""

    vectors: Tensor
    queries: Tensor


def clustered(count: int, dim: int, queries: int, device: str, seed: int = 0) -> Collection:
    """Makes a collection; seed and kind of device decide every number.

    Args:
        count: vectors.
        dim: numbers a vector.
        queries: drawn like the vectors, and not among them.
        device: where they are made and stay.
        seed: of all choices.
    """
    source = torch.Generator(device=device).manual_seed(seed)
    centres = torch.zeros(1, dim, device=device)
    for members in _GROUPS:
        groups = max(1, count // members)
        centres = _around(centres, groups, source)
    vectors = torch.empty(count + queries, dim, device=device)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        block.copy_(_around(centres, len(block), source))
    return Collection(vectors[:count], vectors[count:].clone())


def exact(vectors: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Returns scores float32[Q,k] and rows int64[Q,k] of the largest inner products, best first.

    Plain float32 products, block by block, so that memory holds whatever the collection is.
    """
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(vectors), _BLOCK * 4):
        products = queries @ vectors[start : start + _BLOCK * 4].T
        scores, rows = products.topk(min(k, products.shape[1]), dim=1)
        rows += start
        if best is not None:
            scores, rows = torch.cat((best[0], scores), 1), torch.cat((best[1], rows), 1)
            scores, places = scores.topk(min(k, scores.shape[1]), dim=1)
            rows = rows.gather(1, places)
        best = scores, rows
    if best is None:
        raise ValueError("there are no vectors")
    return best


def true_scores(collection: Collection, rows: Rows) -> Vectors:
    """Returns float32[Q,k]: the inner products of found rows, minus infinity where a row is -1."""
    found = torch.from_numpy(rows).to(collection.vectors.device)
    scores = torch.empty(found.shape, device=collection.vectors.device)
    for place, query in enumerate(collection.queries[: len(found)]):
        scores[place] = collection.vectors[found[place].clamp(min=0)] @ query
    scores[found < 0] = -torch.inf
    return scores.cpu().numpy()


def _around(centres: Tensor, count: int, source: torch.Generator) -> Tensor:
    """Returns unit vectors float32[count,dim], each near a centre drawn by chance."""
    dim, device = centres.shape[1], centres.device
    chosen = torch.randint(len(centres), (count,), generator=source, device=device)
    noise = torch.randn(count, dim, generator=source, device=device) * (_SPREAD / dim**0.5)
    return torch.nn.functional.normalize(centres[chosen] + noise, dim=-1)
