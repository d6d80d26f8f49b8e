"""What a fusion network is: two encoded modalities to one unit vector, and what each gave to it.

To add one, subclass ``Fusion`` and name it in ``towers.fusion.kinds``.
"""

from __future__ import annotations

import abc

from torch import Tensor, nn

from towers.encoders.encoded import Encoded


class Fusion(nn.Module, abc.ABC):
    """Fuses a product's text and pictures.

    Args:
        dim: length of the joint embedding.
        text_width: of the text encoder's tokens.
        image_width: of the picture encoder's places.
    """

    def __init__(self, dim: int, text_width: int, image_width: int) -> None:
        super().__init__()
        self.dim, self.text_width, self.image_width = dim, text_width, image_width

    @abc.abstractmethod
    def forward(
        self, text: Encoded, image: Encoded, text_vector: Tensor, image_vector: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fuses B products.

        Args:
            text: tokens of the product's words; meaningless where there are none.
            image: places of its pictures; meaningless where there are none.
            text_vector: float32[B,dim], L2-normalised: its words in the joint space.
            image_vector: float32[B,dim], L2-normalised: its pictures in the joint space.
            present: float32[B,2] of 0 and 1: text, image.

        Returns:
            float32[B,dim], L2-normalised, and the weights float32[B,2] (text, image), which sum to 1;
            a missing modality has weight 0 and no influence on the vector.
        """
