"""Bad pictures and bad texts on purpose, so that a fusion network learns to trust them less.

Where every picture of a training is good, a gate never learns what a bad one is: it then weighs noise
higher than a photograph, as ``make experiments`` shows (row A3). So some products of a batch get a picture
that is partly noise or a flat grey, and others a text that is cut to a few words, while the other modality
stays. Our proposal [DESIGN]: MAKE's abstract asks for weights that follow the product, not for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_LEAST_DAMAGE = 0.3
_MOST_TOKENS = 3


class Spoilt(NamedTuple):
    """P products, some of them spoilt."""

    pixels: npt.NDArray[np.uint8]
    """uint8[P,V,H,W,3]."""
    tokens: list[list[int]]
    """P lists of ids."""
    text: npt.NDArray[np.bool_]
    """bool[P]: whose words were cut."""
    image: npt.NDArray[np.bool_]
    """bool[P]: whose pictures were spoilt."""


def spoil(
    pixels: npt.NDArray[np.uint8],
    tokens: Sequence[list[int]],
    has_both: npt.NDArray[np.bool_],
    chance: float,
    random: np.random.Generator,
) -> Spoilt:
    """Spoils the words of some products and the pictures of others, never both of one.

    Args:
        pixels: uint8[P,V,H,W,3].
        tokens: P lists of ids, the first and the last of them special tokens.
        has_both: bool[P]; a product's only modality is never spoilt.
        chance: share of the products to lose words, and share to lose their picture; at most a half.
        random: of this batch alone.
    """
    draw = random.random(len(tokens))
    text, image = has_both & (draw < chance), has_both & (draw >= 1 - chance)
    spoilt = pixels.copy() if image.any() else pixels
    for row in np.flatnonzero(image).tolist():
        spoilt[row] = _spoilt_picture(pixels[row], random)
    kept = random.integers(1, _MOST_TOKENS + 1, len(tokens)).tolist()
    cut = [
        [*ids[: 1 + most], ids[-1]] if short and len(ids) > most + 2 else list(ids)
        for ids, short, most in zip(tokens, text.tolist(), kept, strict=True)
    ]
    return Spoilt(spoilt, cut, text, image)


def _spoilt_picture(pixels: npt.NDArray[np.uint8], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Mixes uint8[V,H,W,3] with noise, or with one flat shade."""
    share = np.float32(random.uniform(_LEAST_DAMAGE, 1.0))
    if random.random() < 0.5:
        other = random.integers(0, 256, pixels.shape).astype(np.float32)
    else:
        other = np.full(pixels.shape, random.integers(0, 256), dtype=np.float32)
    mixed: npt.NDArray[np.uint8] = np.rint((1 - share) * pixels + share * other).astype(np.uint8)
    return mixed
