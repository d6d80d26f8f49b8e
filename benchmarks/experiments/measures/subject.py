"""What is measured: trained towers and the shop they have never seen, each embedded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.experiments.scale import Scale
from benchmarks.experiments.shop import Shop, Shops
from catalog.keyword_table import KeywordTable
from catalog.pictures import DecodedPictures
from catalog.tokenizer import pad_batch
from towers.checkpoint import Checkpoint

__all__ = ["FITS", "Subject", "Views"]

FITS = 2
"""The grade of a product that has all that is wanted; 1 is the right article without it."""

Floats = npt.NDArray[np.float32]
_AT_ONCE = 128


class Views(NamedTuple):
    """The vectors of N products."""

    fused: Floats
    """[N,dim]."""
    weights: Floats
    """[N,2]: text, image."""
    text: Floats
    """[N,dim]; meaningless without text."""
    image: Floats
    """[N,dim]; meaningless without a picture."""


@dataclass(frozen=True)
class Subject:
    """An arm's towers at one seed, and where they are measured.

    Attributes:
        checkpoint: the towers, in evaluation mode.
        shops: what they learned from, and the shop that they are measured on.
        scale: sizes of this run.
        folder: of the drawn shops.
        sibling: gives another arm's towers at the same seed, by the arm's name.
    """

    checkpoint: Checkpoint
    shops: Shops
    scale: Scale
    folder: Path
    sibling: Callable[[str], Checkpoint]

    @property
    def shop(self) -> Shop:
        """The shop that is measured on."""
        return self.shops.test

    @cached_property
    def texts(self) -> list[str]:
        """The N products' indexed texts."""
        return [product.indexed_text() for product in self.shop.catalogue.products]

    @cached_property
    def pictures(self) -> DecodedPictures:
        """The N products' pictures."""
        image = self.checkpoint.recipe.image
        return self.shop.pictures(image.size, image.views)

    @cached_property
    def has_text(self) -> npt.NDArray[np.bool_]:
        """bool[N]."""
        return np.array([bool(text.strip()) for text in self.texts])

    @cached_property
    def products(self) -> Views:
        """The N products as they are."""
        return self.embed(self.texts, self.pictures.pixels, self.has_text, self.pictures.has_image)

    @cached_property
    def query_vectors(self) -> Floats:
        """float32[Q,dim] of the shop's evaluation queries, with keywords where the towers have them."""
        return self.embed_queries([query.query for query in self.shop.queries])

    @cached_property
    def grades(self) -> npt.NDArray[np.int64]:
        """int64[Q,N]: how well each product answers each query."""
        place = {query.query_id: row for row, query in enumerate(self.shop.queries)}
        grades = np.zeros((len(place), len(self.shop.catalogue)), dtype=np.int64)
        for judgement in self.shop.judgements:
            if judgement.query_id in place and judgement.product_id in self.shop.catalogue:
                grades[place[judgement.query_id], self.shop.catalogue.row(judgement.product_id)] = (
                    judgement.grade
                )
        return grades

    def embed_queries(self, texts: Sequence[str], keywords: bool = True) -> Floats:
        """Returns float32[Q,dim]; ``keywords`` adds those that the click log taught."""
        table = self.checkpoint.keywords if keywords else None
        read = [text if table is None else KeywordTable.enrich(text, table.of(text)) for text in texts]
        tokens = self.checkpoint.towers.tokenizer.encode(read, self.checkpoint.recipe.max_query_tokens)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(tokens), _AT_ONCE):
                ids, mask = pad_batch(tokens[start : start + _AT_ONCE])
                query = self.checkpoint.towers.query(torch.from_numpy(ids), torch.from_numpy(mask))
                parts.append(query.numpy())
        return np.concatenate(parts)

    def embed(
        self,
        texts: Sequence[str],
        pixels: npt.NDArray[np.uint8],
        has_text: npt.NDArray[np.bool_],
        has_image: npt.NDArray[np.bool_],
    ) -> Views:
        """Embeds N products.

        Args:
            texts: N.
            pixels: uint8[N,V,H,W,3].
            has_text: bool[N].
            has_image: bool[N,V].
        """
        tokens = self.checkpoint.towers.tokenizer.encode(texts, self.checkpoint.recipe.max_product_tokens)
        parts: list[Views] = []
        with torch.inference_mode():
            for start in range(0, len(tokens), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                ids, mask = pad_batch(tokens[part])
                views = self.checkpoint.towers.product.views(
                    torch.from_numpy(ids),
                    torch.from_numpy(mask),
                    torch.from_numpy(pixels[part]),
                    torch.from_numpy(has_text[part, None]),
                    torch.from_numpy(has_image[part]),
                )
                parts.append(Views(*(view.float().numpy() for view in views)))
        return Views(*(np.concatenate(column) for column in zip(*parts, strict=True)))
