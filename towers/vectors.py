"""Small functions of vectors that every tower shares."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def projection(width: int, dim: int) -> nn.Module:
    """A linear map to ``dim``; none where the encoder has that width, to keep what it already knows."""
    return nn.Identity() if width == dim else nn.Linear(width, dim)


def unit(vectors: Tensor) -> Tensor:
    """L2-normalises the rows of float[B,dim], in float32 whatever the encoder's precision."""
    return F.normalize(vectors.float(), dim=-1, eps=1e-6)
