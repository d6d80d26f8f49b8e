"""Random variations of pictures: another crop, another light, the same product.

Crops go down to a detail, as shops' close-ups do; colours move little, for often the colour alone tells
two products apart. Outside of a picture lies white, as around a letter-boxed one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

_WHITE = 255.0
_LARGEST = 1.1
"""Of the window's side: a little more than the picture makes the product smaller."""
_SLACK = 0.05
"""Of the picture's side, that even a full window may be moved by."""


@dataclass(frozen=True)
class Variations:
    """How far pictures are varied; each is drawn for each picture by itself."""

    closest: float = 0.35
    """Side of the smallest window that is cut out, as a share of the picture's; log-uniform up to 1.1."""
    turn: float = 0.15
    """Largest rotation, in radians."""
    stretch: float = 0.15
    """Largest change of the proportions, as a logarithm."""
    light: float = 0.03
    """Largest change of brightness and of contrast, as a logarithm; the tint changes by half of it."""
    mirrored: float = 0.5
    """Share of the pictures that are mirrored."""


def varied(pixels: Tensor, variations: Variations, random: np.random.Generator) -> Tensor:
    """Varies uint8[B,H,W,3] pictures; the result has the same shape and type."""
    pictures = pixels.float().permute(0, 3, 1, 2) - _WHITE
    windows = _windows(len(pixels), variations, random)
    grid = F.affine_grid(windows, list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    lit = _lit(moved + _WHITE, variations.light, random)
    return lit.clamp(0, _WHITE).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _windows(count: int, variations: Variations, random: np.random.Generator) -> Tensor:
    """Draws float32[count,2,3]: where in the picture each place of the result is looked up."""
    side = np.exp(random.uniform(math.log(variations.closest), math.log(_LARGEST), count))
    stretch = np.exp(random.uniform(-variations.stretch, variations.stretch, count))
    angle = random.uniform(-variations.turn, variations.turn, count)
    mirror = np.where(random.random(count) < variations.mirrored, -1.0, 1.0)
    slack = np.maximum(1.0 - side, _SLACK)
    across, down = random.uniform(-1, 1, (2, count)) * slack
    rows = (
        (side * stretch * mirror * np.cos(angle), -side * np.sin(angle), across),
        (side * mirror * np.sin(angle), side / stretch * np.cos(angle), down),
    )
    return torch.from_numpy(np.stack([np.stack(row, axis=1) for row in rows], axis=1).astype(np.float32))


def _lit(pictures: Tensor, light: float, random: np.random.Generator) -> Tensor:
    """Changes contrast, brightness and tint of float[B,3,H,W]."""
    count = len(pictures)
    contrast = np.exp(random.uniform(-light, light, (count, 1)))
    colour = np.exp(random.uniform(-light, light, (count, 1)) + random.uniform(-light, light, (count, 3)) / 2)
    middle = _WHITE / 2
    return ((pictures - middle) * _per_picture(contrast) + middle) * _per_picture(colour)


def _per_picture(factors: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(factors.astype(np.float32))[:, :, None, None]
