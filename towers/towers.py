"""The query tower and the product towers: the modules that are exported.

Their inputs and outputs are the tensors of DESIGN's "Triton models" contract,
names included, so a checkpoint needs no glue to become an engine.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import torch
from torch import Tensor, nn

from towers.encoders.encoded import Encoded, masked_mean
from towers.encoders.picture_encoder import PictureEncoder
from towers.encoders.text_encoder import TextEncoder
from towers.fusion.base import Fusion
from towers.fusion.gate import ModalityGate
from towers.vectors import projection, unit


class QueryTower(nn.Module):
    """A shopper's words to a unit vector."""

    def __init__(self, encoder: TextEncoder, dim: int, project: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.project = projection(encoder.config.width, dim) if project is None else project

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Encoded]:
        """All that training needs: the vectors of ``forward`` and the tokens behind them."""
        encoded = self.encoder.encode(input_ids, attention_mask)
        return unit(self.project(encoded.pooled)), encoded

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Maps int64[B,L] ids and mask to float32[B,dim], L2-normalised."""
        return self.encode(input_ids, attention_mask)[0]


class ProductViews(NamedTuple):
    """What the product tower knows of a batch of products; all float32."""

    fused: Tensor
    """[B,dim], L2-normalised."""
    weights: Tensor
    """[B,2]: text, image; they sum to 1, and a missing modality has exactly 0."""
    text: Tensor
    """[B,dim], L2-normalised; meaningless where has_text is false."""
    image: Tensor
    """[B,dim], L2-normalised; meaningless where has_image is false."""


class ProductEncoding(NamedTuple):
    """The sequences behind a batch of products' views."""

    text: Encoded
    image: Encoded


class ProductTower(nn.Module, abc.ABC):
    """A product's title, description and pictures to a unit vector and its modality weights."""

    encoder: TextEncoder
    image_encoder: PictureEncoder
    project_image: nn.Module
    """From the picture encoder's width: into the joint space or into the text encoder's."""

    @abc.abstractmethod
    def encode(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[ProductViews, ProductEncoding]:
        """All that training needs; see ``forward`` for the inputs."""

    @abc.abstractmethod
    def pictures_alone(self, pixels: Tensor, has_image: Tensor) -> Tensor:
        """Maps pictures, without words, to float32[B,dim], L2-normalised: the view ``image``."""

    def views(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> ProductViews:
        """The vectors of each modality and of both; see ``forward`` for the inputs."""
        return self.encode(input_ids, attention_mask, pixels, has_text, has_image)[0]

    @abc.abstractmethod
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embeds products.

        Args:
            input_ids: int64[B,L]; a product without text carries the ids of the empty text.
            attention_mask: int64[B,L], 1 = token, 0 = padding.
            pixels: uint8[B,V,H,W,3], RGB; zeros where there is no picture.
            has_text: bool[B,1].
            has_image: bool[B,V].

        Returns:
            product_embedding float32[B,dim], L2-normalised, and modality_weights
            float32[B,2] (text, image).
        """


class FusedTower(ProductTower):
    """Two encoders side by side, then a fusion network: systems A, B and C."""

    def __init__(self, encoder: TextEncoder, image_encoder: PictureEncoder, fusion: Fusion) -> None:
        super().__init__()
        self.encoder = encoder
        self.image_encoder = image_encoder
        self.project_text = projection(encoder.config.width, fusion.dim)
        self.project_image = nn.Linear(image_encoder.width, fusion.dim)
        self.fusion = fusion

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[ProductViews, ProductEncoding]:
        """See ``ProductTower.encode``."""
        text = self.encoder.encode(input_ids, attention_mask)
        image = self.image_encoder.encode(pixels, has_image)
        text_vector = unit(self.project_text(text.pooled))
        image_vector = unit(self.project_image(image.pooled))
        fused, weights = self.fusion(text, image, text_vector, image_vector, presence(has_text, has_image))
        return ProductViews(fused, weights, text_vector, image_vector), ProductEncoding(text, image)

    def pictures_alone(self, pixels: Tensor, has_image: Tensor) -> Tensor:
        """See ``ProductTower.pictures_alone``."""
        return unit(self.project_image(self.image_encoder(pixels, has_image)))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``ProductTower.forward``."""
        views = self.views(input_ids, attention_mask, pixels, has_text, has_image)
        return views.fused, views.weights


class SingleStreamTower(ProductTower):
    """Words and places of pictures in one transformer, which gives three views by masks: system D.

    The alibaba.com paper calls one shared encoder over (text, image) with masked views "Cross-BERT"; its
    sizes and its picture front end are not published. Here the picture encoder's places, mapped to the
    text encoder's width and marked as pictures, join the tokens before the first layer [DESIGN]. With all
    places masked the tower is its text encoder, so a query tower that shares it is the text-only view.

    The vector is a gated mean of the words' and the places' outputs: each has attended to the other.
    """

    def __init__(self, encoder: TextEncoder, image_encoder: PictureEncoder, dim: int) -> None:
        super().__init__()
        width = encoder.config.width
        self.encoder = encoder
        self.image_encoder = image_encoder
        self.project_image = nn.Linear(image_encoder.width, width)
        self.picture_mark = nn.Parameter(torch.zeros(width))
        self.picture_norm = nn.LayerNorm(width, eps=encoder.config.norm_epsilon)
        self.project = projection(width, dim)
        self.gate = ModalityGate(dim)

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[ProductViews, ProductEncoding]:
        """See ``ProductTower.encode``; the single views see nothing of the other modality."""
        words, places = self._parts(input_ids, attention_mask, pixels, has_text, has_image)
        present = presence(has_text, has_image)
        fused, weights, encoding = self._joint(words, places, present)
        words_alone = self.encoder.run(words.tokens, words.mask)
        text = unit(self.project(masked_mean(words_alone, words.mask)))
        image = self._places_alone(places)
        return ProductViews(fused, weights, text, image), encoding

    def pictures_alone(self, pixels: Tensor, has_image: Tensor) -> Tensor:
        """See ``ProductTower.pictures_alone``."""
        return self._places_alone(self._places(pixels, has_image))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``ProductTower.forward``."""
        words, places = self._parts(input_ids, attention_mask, pixels, has_text, has_image)
        fused, weights, _ = self._joint(words, places, presence(has_text, has_image))
        return fused, weights

    def _parts(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, has_text: Tensor, has_image: Tensor
    ) -> tuple[Encoded, Encoded]:
        embedded = self.encoder.embed(input_ids)
        mask = attention_mask.to(embedded.dtype) * has_text.to(embedded.dtype)
        return Encoded(embedded, mask, masked_mean(embedded, mask)), self._places(pixels, has_image)

    def _places(self, pixels: Tensor, has_image: Tensor) -> Encoded:
        """The pictures' places as tokens of the text encoder's width."""
        image = self.image_encoder.encode(pixels, has_image)
        tokens = self.picture_norm(self.project_image(image.tokens) + self.picture_mark)
        return Encoded(tokens, image.mask, masked_mean(tokens, image.mask))

    def _places_alone(self, places: Encoded) -> Tensor:
        outputs = self.encoder.run(places.tokens, places.mask)
        return unit(self.project(masked_mean(outputs, places.mask)))

    def _joint(
        self, words: Encoded, places: Encoded, present: Tensor
    ) -> tuple[Tensor, Tensor, ProductEncoding]:
        length = words.tokens.shape[1]
        outputs = self.encoder.run(
            torch.cat([words.tokens, places.tokens.to(words.tokens.dtype)], dim=1),
            torch.cat([words.mask, places.mask.to(words.mask.dtype)], dim=1),
        )
        text = _part(outputs[:, :length], words.mask)
        image = _part(outputs[:, length:], places.mask)
        text_vector, image_vector = unit(self.project(text.pooled)), unit(self.project(image.pooled))
        weights = self.gate(text_vector, image_vector, present)
        fused = unit(weights[:, :1] * text_vector + weights[:, 1:] * image_vector)
        return fused, weights, ProductEncoding(text, image)


def presence(has_text: Tensor, has_image: Tensor) -> Tensor:
    """Maps bool[B,1] and bool[B,V] to float32[B,2]: 1 where there is text, a picture."""
    return torch.cat([has_text.float(), has_image.float().amax(dim=1, keepdim=True)], dim=1)


def _part(outputs: Tensor, mask: Tensor) -> Encoded:
    return Encoded(outputs, mask, masked_mean(outputs, mask))
