"""A BERT-like text encoder: token ids in, one mean-pooled vector out.

Post-LayerNorm transformer with learned positions (Devlin et al., 2019), so that
published BERT checkpoints load into it. Pooling is the mean over real tokens
only: padding moves no vector, which dynamic batching depends on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from towers.encoders.encoded import Encoded, masked_mean

MASKED_SCORE = -1e4
"""Added to attention scores of padding: exp() of it is exactly 0, it fits fp16, and it makes no NaN."""


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of a text encoder."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    feedforward: int
    positions: int
    norm_epsilon: float = 1e-12


class SelfAttention(nn.Module):
    """Multi-head self-attention with an additive mask."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)

    def _split(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        return hidden.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Maps float[B,L,width] and an additive bias float[B,1,1,L] to float[B,L,width]."""
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(hidden)),
            self._split(self.key(hidden)),
            self._split(self.value(hidden)),
            attn_mask=bias.to(hidden.dtype),
        )
        joined: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return joined


class Block(nn.Module):
    """One transformer layer: attention, then a feed-forward network, each added and normalised."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.expand = nn.Linear(config.width, config.feedforward)
        self.contract = nn.Linear(config.feedforward, config.width)
        self.output_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Maps float[B,L,width] to the same shape."""
        hidden = self.attention_norm(hidden + self.attention(hidden, bias))
        result: Tensor = self.output_norm(hidden + self.contract(F.gelu(self.expand(hidden))))
        return result


class TextEncoder(nn.Module):
    """Token ids to one vector a text."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.places = nn.Embedding(config.positions, config.width)
        self.input_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=0.02)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Maps int64[B,L] ids to float[B,L,width], before any layer."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        embedded: Tensor = self.input_norm(self.tokens(input_ids) + self.places(places))
        return embedded

    def run(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Sends float[B,L,width] through the layers; float[B,L] says which places are there (1)."""
        bias = (1.0 - present)[:, None, None, :] * MASKED_SCORE
        for block in self.blocks:
            hidden = block(hidden, bias)
        return hidden

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        """Maps int64[B,L] ids and int64[B,L] mask (1 = token, 0 = padding) to tokens and their mean."""
        hidden = self.embed(input_ids)
        present = attention_mask.to(hidden.dtype)
        hidden = self.run(hidden, present)
        return Encoded(hidden, present, masked_mean(hidden, present))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Maps int64[B,L] ids and int64[B,L] mask (1 = token, 0 = padding) to float[B,width]."""
        return self.encode(input_ids, attention_mask).pooled

    def freeze_below(self, trainable_layers: int) -> None:
        """Fixes the embeddings and all but the top ``trainable_layers`` layers; 0 leaves everything free."""
        if not trainable_layers:
            return
        fixed = [
            self.tokens,
            self.places,
            self.input_norm,
            *self.blocks[: len(self.blocks) - trainable_layers],
        ]
        for module in fixed:
            module.requires_grad_(False)
