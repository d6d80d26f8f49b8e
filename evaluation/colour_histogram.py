"""Colour histograms as product vectors: the baseline that a picture encoder must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["colour_histograms"]

_BINS = 8
_BLOCK = 256


def colour_histograms(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Counts each picture's colours in 8 x 8 x 8 cells of RGB, all pixels alike.

    The square root of each share is taken, so that an inner product is the Bhattacharyya coefficient of
    two histograms: on photographs of products it is a clearly stronger baseline than the counts, of
    which one large plain surface drowns all others. The border of a letter-boxed picture counts too.

    Args:
        pixels: uint8[B,H,W,3], RGB.

    Returns:
        float32[B,512], L2-normalised. The cell of (r, g, b) is ``64 * (r // 32) + 8 * (g // 32) + b // 32``.
    """
    histograms = np.zeros((len(pixels), _BINS**3), np.float32)
    for start in range(0, len(pixels), _BLOCK):
        cells = (pixels[start : start + _BLOCK] // (256 // _BINS)).astype(np.int64)
        index = (cells[..., 0] * _BINS + cells[..., 1]) * _BINS + cells[..., 2]
        for row, colours in enumerate(index.reshape(len(index), -1), start=start):
            histograms[row] = np.bincount(colours, minlength=_BINS**3)
    shares = histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1.0)
    rooted: NDArray[np.float32] = np.sqrt(shares)
    return rooted
