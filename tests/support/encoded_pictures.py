"""Real pictures in the three formats that a query may have."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")


def encoded(kind: str, width: int = 48, height: int = 32, *, mode: str = "RGB", seed: int = 0) -> bytes:
    """A picture of coloured squares, as a file."""
    random = np.random.default_rng(seed)
    squares = random.integers(0, 255, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    pixels = np.kron(squares, np.ones((8, 8, 1), np.uint8))[:height, :width]
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()
