"""Modal Adaptation: words and pictures adapt to each other, then a gate weighs them product by product.

MAKE's abstract (arXiv 2301.12646) says what it is for: "assigns appropriate weights on texts and images
across products". Its formula is not published, and this one is our proposal [DESIGN]:

    t' = unit(t + A_t(words attending over places))        v' = unit(v + A_v(places attending over words))
    g  = softmax(W [t; v; t*v; has_t; has_v])               fused = unit(g_t t' + g_v v')

Both summands have length 1, so that a weight is a share and not half of a share whose other half is
a vector's length. The adaptations A and the gate W begin at zero: the network begins as the even mean of
both vectors, and the data decides, not the initialisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.encoders.cross_attention import CrossAttention
from towers.encoders.encoded import Encoded, masked_mean
from towers.encoders.text_encoder import MASKED_SCORE
from towers.fusion.base import Fusion
from towers.vectors import unit


class ModalAdaptation(Fusion):
    """One block of cross-attention each way, and a gate."""

    def __init__(self, dim: int, text_width: int, image_width: int) -> None:
        super().__init__(dim, text_width, image_width)
        self.adapt_text = _Adaptation(text_width, image_width, dim)
        self.adapt_image = _Adaptation(image_width, text_width, dim)
        self.gate = nn.Linear(3 * dim + 2, 2)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(
        self, text: Encoded, image: Encoded, text_vector: Tensor, image_vector: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``Fusion.forward``. A modality adapts only where the other one is there."""
        words, picture = present[:, :1], present[:, 1:]
        # What a product lacks may hide behind a mask that shows tokens: modality dropout leaves them.
        text = text._replace(mask=text.mask * words.to(text.mask.dtype))
        image = image._replace(mask=image.mask * picture.to(image.mask.dtype))
        both = words * picture
        adapted_text = unit(text_vector + both * self.adapt_text(text, image))
        adapted_image = unit(image_vector + both * self.adapt_image(image, text))
        weights = self._weights(text_vector * words, image_vector * picture, present)
        return unit(weights[:, :1] * adapted_text + weights[:, 1:] * adapted_image), weights

    def _weights(self, text: Tensor, image: Tensor, present: Tensor) -> Tensor:
        """Maps float[B,dim] twice (zeros where missing) and presence to float[B,2] that sum to 1."""
        # Entries of about 1, as the layer's learning rate expects.
        scale = self.dim**0.5
        logits = self.gate(torch.cat([text * scale, image * scale, text * image * scale**2, present], dim=-1))
        return torch.softmax(logits.float() + (1.0 - present) * MASKED_SCORE, dim=-1)


class _Adaptation(nn.Module):
    """What one modality, having seen the other, adds to its own vector; nothing at first."""

    def __init__(self, own_width: int, other_width: int, dim: int) -> None:
        super().__init__()
        self.own_norm, self.other_norm = nn.LayerNorm(own_width), nn.LayerNorm(other_width)
        self.attention = CrossAttention(own_width, other_width, dim)
        self.expand = nn.Linear(own_width + dim, 2 * dim)
        self.contract = nn.Linear(2 * dim, dim)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(self, own: Encoded, other: Encoded) -> Tensor:
        """Maps B encoded products to float32[B,dim]."""
        tokens = self.own_norm(own.tokens)
        heard = self.attention(tokens, self.other_norm(other.tokens), other.mask)
        # Pooled before the feed-forward network, not after: it then runs once a product.
        pooled = masked_mean(torch.cat([tokens.to(heard.dtype), heard], dim=-1), own.mask.to(heard.dtype))
        added: Tensor = self.contract(F.gelu(self.expand(pooled))).float()
        return added
