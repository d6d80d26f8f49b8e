"""Which colours a picture has, and how much of each: a histogram that a network can start from.

Colours tell many products apart, and a small ConvNet from scratch takes long to learn what a histogram
says at once. So a soft histogram is mapped into the encoder's space, beside the convolutions [DESIGN].
Before training, the map is a random projection, which nearly keeps the histograms' similarities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WHITE = 255.0
_POOLED = 4
_LEAST = 1e-5
"""Of a cell's share, before the root: fp16 holds it."""


class ColourStatistics(nn.Module):
    """Pictures to the roots of their soft colour histograms, and those to a vector.

    Each place, a mean over 4 x 4 pixels, is shared between the neighbouring cells of each channel by its
    distance to them. The root of a share is taken for the reason that
    ``evaluation.colour_histogram`` gives: one large plain surface must not drown all others.

    Args:
        cells: of each channel; the histogram has their cube.
        width: of the vector.
    """

    def __init__(self, cells: int, width: int) -> None:
        super().__init__()
        self.cells = cells
        self.project = nn.Linear(cells**3, width, bias=False)
        # Roots of shares have the length 1: so entries begin at about 1, as those of the convolutions.
        nn.init.normal_(self.project.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        """Maps float[N,3,H,W] of 0..255 to float[N,width]."""
        colours = F.avg_pool2d(pictures, _POOLED).flatten(2) * ((self.cells - 1) / _WHITE)
        centres = torch.arange(self.cells, device=pictures.device, dtype=pictures.dtype)
        shares = F.relu(1.0 - (colours[:, :, None] - centres[:, None]).abs())  # [N,3,cells,places]
        red, green, blue = shares.unbind(dim=1)
        both = (red[:, :, None] * green[:, None]).flatten(1, 2)
        histogram = both @ blue.transpose(1, 2) / blue.shape[-1]
        projected: Tensor = self.project(histogram.flatten(1).clamp(min=_LEAST).sqrt())
        return projected
