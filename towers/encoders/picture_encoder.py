"""What every picture encoder is to the towers, and how it makes one vector of several pictures.

To add one, subclass ``PictureEncoder`` and name it in ``towers.build``.
"""

from __future__ import annotations

import abc

from torch import Tensor, nn

from towers.encoders.encoded import Encoded, masked_mean


class PictureEncoder(nn.Module, abc.ABC):
    """Pictures of a product to places and one vector; the order of the pictures does not matter."""

    width: int
    """Of the vectors it gives."""

    @abc.abstractmethod
    def encode(self, pixels: Tensor, has_image: Tensor) -> Encoded:
        """Maps uint8[B,V,H,W,3] and bool[B,V] to V * places vectors a product, and their mean.

        Casting and normalising happen in here, so that training, export and serving cannot disagree.
        """

    def forward(self, pixels: Tensor, has_image: Tensor) -> Tensor:
        """Maps uint8[B,V,H,W,3] and bool[B,V] to float[B,width]."""
        return self.encode(pixels, has_image).pooled


class MeanOfViews(nn.Module):
    """The mean over a product's pictures; an absent picture has no part in it."""

    def forward(self, views: Tensor, there: Tensor) -> Tensor:
        """Maps float[B,V,width] and float[B,V] (1 = there) to float[B,width]."""
        return masked_mean(views, there)
