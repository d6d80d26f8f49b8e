"""Inputs on which exported towers are known to go wrong: the gate always includes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def pictures(size: int) -> npt.NDArray[np.uint8]:
    """Returns uint8[6,size,size,3]: black, white, grey, noise, a horizontal and a vertical colour ramp."""
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    across = np.stack(
        [np.tile(ramp, (size, 1)), np.tile(ramp[::-1], (size, 1)), np.full((size, size), 40)], -1
    )
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3))
    flat = [np.full((size, size, 3), value) for value in (0, 255, 128)]
    return np.stack([*flat, noise, across, across.transpose(1, 0, 2)]).astype(np.uint8)
