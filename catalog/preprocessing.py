"""One hash over everything that happens to text and pictures before a tower sees them.

It goes into every release. A version number alone would not show that one machine runs
another Pillow, or that somebody changed the resize and forgot the number: so the hash
also covers what today's code makes of a few golden inputs.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from PIL import Image

from catalog.picture_decoder import letter_box
from catalog.text import normalise_text

__all__ = ["RULES_VERSION", "preprocessing_hash"]

RULES_VERSION = 1
"""Raise it when a rule changes on purpose: releases made before are then refused by name."""

_GOLDEN_TEXTS = (
    "  Red\tMUG\n",
    "Ｆｕｌｌ－ｗｉｄｔｈ ½ ﬁne",
    "Straße ΣΊΣΥΦΟΣ İstanbul",
    "zero\u200bwidth \u00ad soft",
    "e\u0301 \u1e9b\u0323 \u0345",
    "M6x30 8.8 DIN-933",
)
_GOLDEN_SHAPES = ((97, 41), (5, 5), (33, 160))


def preprocessing_hash(picture_size: int, max_tokens: int, *more_limits: int) -> str:
    """Returns a SHA-256 (hex) of the rules and of their effect on golden inputs.

    Args:
        picture_size: side of the pictures in pixels.
        max_tokens: most tokens of a text.
        more_limits: any further number that must agree (tokens of the other tower, views).
    """
    digest = hashlib.sha256()
    rules = {"version": RULES_VERSION, "picture_size": picture_size, "limits": [max_tokens, *more_limits]}
    digest.update(json.dumps(rules, sort_keys=True).encode())
    for text in _GOLDEN_TEXTS:
        digest.update(normalise_text(text).encode() + b"\x00")
    for shape in _GOLDEN_SHAPES:
        for mode in ("RGB", "RGBA"):
            digest.update(letter_box(_golden_picture(shape, mode), picture_size).tobytes())
    return digest.hexdigest()


def _golden_picture(shape: tuple[int, int], mode: str) -> Image.Image:
    """A picture of gradients and edges by integer arithmetic alone, equal on every machine."""
    width, height = shape
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [(rows * 7 + columns * 13 * (c + 1)) ^ (rows * columns >> 2) for c in range(len(mode))]
    return Image.fromarray((np.stack(channels, axis=-1) % 256).astype(np.uint8))
