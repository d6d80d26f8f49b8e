"""Deep Sets over a product's pictures: one vector of several, whatever their order.

A function of a set is rho(sum of phi(x)) with two networks phi and rho (Deep Sets, Zaheer et al.,
NeurIPS 2017). Here the sum is a mean over the pictures that are there, so that one picture and five
give vectors of one size.

System B's products have one title and several images; how it pools them is not published. That the
network's answer is added to the plain mean, and begins at zero, is our proposal [DESIGN]: a first step
is then no worse than the mean, and a pretrained encoder's vectors are kept.
"""

from __future__ import annotations

from torch import Tensor, nn

from towers.encoders.encoded import masked_mean


class DeepSets(nn.Module):
    """The mean over a product's pictures, plus rho of the mean of phi of each.

    It has no branch on values and no shape that depends on them, so it is exported as it stands.

    Args:
        width: of the vectors of the pictures, and of the result.
        hidden: width between phi and rho; that of the vectors where it is 0.
    """

    def __init__(self, width: int, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or width
        self.phi = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        last = nn.Linear(hidden, width)
        self.rho = nn.Sequential(nn.LayerNorm(hidden), nn.GELU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, views: Tensor, there: Tensor) -> Tensor:
        """Pools the pictures of B products.

        Args:
            views: float[B,V,width], one vector a picture; finite also where there is none.
            there: float[B,V] of 0 and 1, or bool[B,V]: which pictures are there.

        Returns:
            float[B,width]; zeros where a product has no picture.
        """
        present = there.to(views.dtype)
        any_there = present.amax(dim=1, keepdim=True)
        summed: Tensor = self.rho(masked_mean(self.phi(views), present))
        # Biases alone would give a product without a picture something.
        return masked_mean(views, present) + summed * any_there
