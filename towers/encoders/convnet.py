"""A small ConvNet: pictures in, one vector a product out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from towers.encoders.colour_statistics import ColourStatistics
from towers.encoders.encoded import Encoded
from towers.encoders.picture_encoder import MeanOfViews, PictureEncoder

_MEAN, _DEVIATION = 127.5, 64.0


class ConvNet(PictureEncoder):
    """Strided convolutions, then the mean over places, then one vector of a product's pictures.

    Args:
        channels: width of each stage; every stage halves the picture's side.
        pool: float[B,V,width] and float[B,V] to float[B,width]; by default the mean.
        colours: cells a channel of a colour histogram that joins the mean over places; 0 for none.
    """

    def __init__(self, channels: tuple[int, ...], pool: nn.Module | None = None, colours: int = 0) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for inputs, outputs in zip((3, *channels), channels, strict=False):
            stages += [
                nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        last = channels[-1]
        stages += [
            nn.Conv2d(last, last, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(last),
            nn.ReLU(),
        ]
        self.stages = nn.Sequential(*stages)
        self.width = last
        self.pool = MeanOfViews() if pool is None else pool
        self.colours = ColourStatistics(colours, last) if colours else None

    def encode(self, pixels: Tensor, has_image: Tensor) -> Encoded:
        """See ``PictureEncoder.encode``."""
        batch, views = has_image.shape
        # TensorRT takes UINT8 only where a cast is the input's first use.
        flat = pixels.float().flatten(0, 1).permute(0, 3, 1, 2)
        maps = self._maps((flat - _MEAN) / _DEVIATION, has_image.flatten())
        places = maps.flatten(2).transpose(1, 2)  # [B*V, places, width]
        there = has_image.to(places.dtype)
        a_view = places.mean(dim=1)
        if self.colours is not None:
            a_view = a_view + self.colours(flat)
        return Encoded(
            places.reshape(batch, -1, self.width),
            there.repeat_interleave(places.shape[1], dim=1),
            self.pool(a_view.view(batch, views, self.width), there),
        )

    def _maps(self, flat: Tensor, there: Tensor) -> Tensor:
        """Maps float[B*V,3,H,W] to float[B*V,width,h,w]."""
        if not self.training or bool(there.all()):
            maps: Tensor = self.stages(flat)
            return maps
        # In training only: the zeros of absent pictures must not enter BatchNorm's statistics.
        if not bool(there.any()):
            there = torch.ones_like(there)
        present = self.stages(flat[there])
        maps = present.new_zeros((len(flat), *present.shape[1:]))
        maps[there] = present
        return maps
