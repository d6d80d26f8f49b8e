"""Embeds many texts or products in parts, those of a length together: little padding, bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from catalog.tokenizer import pad_batch
from towers.build import Towers
from towers.data.examples import Examples

_AT_ONCE = 64


def query_vectors(towers: Towers, tokens: Sequence[Sequence[int]]) -> Tensor:
    """Returns the query tower's vectors of n texts' ids, float32[n,dim] on the CPU, without gradient."""

    def embed(part: Sequence[int]) -> Tensor:
        ids, mask = pad_batch([tokens[place] for place in part])
        vectors: Tensor = towers.query(
            torch.from_numpy(ids).to(towers.device), torch.from_numpy(mask).to(towers.device)
        )
        return vectors

    return _in_parts([len(ids) for ids in tokens], embed)


def product_vectors(towers: Towers, examples: Examples, rows: npt.NDArray[np.int64]) -> Tensor:
    """Returns the fused vectors of n product rows, float32[n,dim] on the CPU, without gradient.

    They are what an index of these towers would hold, where the towers are in evaluation mode.
    """
    tokens, pictures = [examples.product_tokens[row] for row in rows.tolist()], examples.pictures

    def embed(part: Sequence[int]) -> Tensor:
        own = rows[np.array(part)]
        ids, mask = pad_batch([tokens[place] for place in part])
        arrays = (ids, mask, pictures.pixels[own], examples.has_text[own, None], pictures.has_image[own])
        vectors: Tensor = towers.product(*(torch.from_numpy(array).to(towers.device) for array in arrays))[0]
        return vectors

    return _in_parts([len(ids) for ids in tokens], embed)


@torch.no_grad()
def _in_parts(lengths: Sequence[int], embed: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Embeds the places 0 to n-1 and returns the vectors in their order."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    vectors = [
        embed(order[start : start + _AT_ONCE]).float().cpu() for start in range(0, len(order), _AT_ONCE)
    ]
    return torch.cat(vectors)[torch.from_numpy(np.argsort(order))]
