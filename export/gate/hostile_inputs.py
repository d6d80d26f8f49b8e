"""Inputs on which exported towers are known to go wrong: the gate always includes them."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from catalog.pictures import decode_picture

TEXTS = (
    "",
    "a",
    "red mug",
    "🔥🔥👟 sale",
    "红色连衣裙 夏季",
    "ΣΊΣΥΦΟΣ straße ﬁne",
    "supercalifragilisticexpialidocious" * 4,
    "M6x30 DIN-933 8.8 A2",
    "\u200b\u00ad  \t",
    'men\'s women’s "quoted" 50% off!!!',
    "size 10.5 / 44 2/3",
    "very long " * 60,
)
"""Empty, one character, emoji, Chinese, no spaces, invisible characters, longer than any limit."""


Pixels = npt.NDArray[np.uint8]


def pictures(size: int) -> dict[str, Pixels]:
    """Returns pictures uint8[size,size,3] by name.

    Flat ones, noise, two colour ramps (which tell channels and sides apart), and two that
    went through the decoder as a shopper's would: of one pixel, and of 400 x 3.
    """
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    across = np.stack(
        [np.tile(ramp, (size, 1)), np.tile(ramp[::-1], (size, 1)), np.full((size, size), 40, np.uint8)], -1
    )
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    flat = {name: np.full((size, size, 3), value, np.uint8) for name, value in _FLAT.items()}
    return {
        **flat,
        "noise": noise,
        "ramp across": across,
        "ramp down": across.transpose(1, 0, 2).copy(),
        "1x1": _decoded(1, 1, size),
        "400x3": _decoded(400, 3, size),
    }


_FLAT = {"black": 0, "white": 255, "grey": 128}


def _decoded(width: int, height: int, size: int) -> Pixels:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(buffer, "PNG")
    return decode_picture(buffer.getvalue(), size)
