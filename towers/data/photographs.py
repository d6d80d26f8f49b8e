"""Photographs by product: pairs of two photographs of one product, each varied anew.

A product with several photographs gives two different ones. A product with a single one gives that
one twice; the random variations (``towers.data.variations``) make a pair of it.

Products of one batch are each other's negatives. Drawn at random, most are told apart by their colour
alone, and nothing else would be learned; so look-alikes by colour are drawn together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluation.colour_histogram import colour_histograms
from faults import InvalidInput
from towers.data.variations import Variations, varied

_NEAREST = 4
"""Look-alikes are drawn from so many times as many: not the same ones each time."""
_MOST_OFFERED = 4096
"""Products among which look-alikes are sought, so that a step costs the same in a large shop."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PairDrawing:
    """How pairs are drawn; equal ones draw equal batches."""

    products: int
    """Of a batch; all of them if there are fewer."""
    steps: int
    """Number of batches."""
    seed: int
    """Of all choices."""
    several: float = 0.7
    """Share, of the products drawn at random, of those with several photographs."""
    together: int = 4
    """Products that are drawn together: one, and others of its colours. 1: all at random."""
    main: float = 0.5
    """Share of the pairs of such products that contain the main photograph, the first of the product."""


@dataclass(frozen=True)
class PairBatch:
    """Two photographs of each of P products."""

    pixels: Tensor
    """uint8[2P,H,W,3]: the first of every product, then the second of every product."""
    alike: Tensor
    """bool[P,P]: two products own the very same picture, so neither is a negative of the other."""


class Photographs:
    """Photographs and which product each shows.

    Args:
        pixels: uint8[N,H,W,3], RGB.
        groups: N names of products; of each, the main photograph comes first. A photograph that a product
            has twice counts once.

    Raises:
        InvalidInput: fewer than two products, or other numbers of names than of photographs.
    """

    def __init__(self, pixels: Pixels, groups: Sequence[str]) -> None:
        if len(pixels) != len(groups):
            raise InvalidInput(
                "one product's name a photograph is needed",
                field="photographs.groups",
                value=f"{len(groups)} for {len(pixels)} photographs",
                fix="Give the names in the order of the photographs.",
            )
        self.pixels = pixels
        looks = [hashlib.sha256(picture.tobytes()).digest() for picture in pixels]
        rows: dict[str, dict[bytes, int]] = {}
        for row, (group, look) in enumerate(zip(groups, looks, strict=True)):
            rows.setdefault(group, {}).setdefault(look, row)
        if len(rows) < 2:
            raise InvalidInput(
                "photographs of one product alone teach nothing: others must be told from it",
                field="photographs",
                value=f"{len(rows)} products",
                fix="Give photographs of several products.",
            )
        self.rows: tuple[tuple[int, ...], ...] = tuple(tuple(own.values()) for own in rows.values())
        """By product, the rows of its distinct photographs, the main one first."""
        self._looks = [frozenset(own) for own in rows.values()]
        self._colours = colour_histograms(pixels[[own[0] for own in self.rows]])
        several = np.array([len(own) > 1 for own in self.rows])
        self._several, self._single = np.flatnonzero(several), np.flatnonzero(~several)

    def pairs(self, drawing: PairDrawing, variations: Variations, skip: int = 0) -> Iterator[PairBatch]:
        """Draws the batches after the first ``skip``, which are drawn but not made."""
        random = np.random.default_rng(drawing.seed)
        for number in range(drawing.steps):
            products = self._products(drawing, random)
            drawn = np.array([self._pair(product, drawing.main, random) for product in products.tolist()])
            if number < skip:
                continue
            chosen = self.pixels[drawn.T.reshape(-1)]
            # A generator of the batch's own: skipping must not have to make the variations.
            own = np.random.default_rng([drawing.seed, number])
            yield PairBatch(varied(torch.from_numpy(chosen), variations, own), self.alike(products))

    def alike(self, products: npt.NDArray[np.int64]) -> Tensor:
        """Returns bool[P,P]: which of P products own a very same picture; each is like itself."""
        looks = [self._looks[product] for product in products.tolist()]
        return torch.tensor([[not one.isdisjoint(other) for other in looks] for one in looks])

    def _products(self, drawing: PairDrawing, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draws products without repetition: some at random, and with each its look-alikes."""
        size = min(drawing.products, len(self.rows))
        seeds = self._at_random(drawing.several, math.ceil(size / drawing.together), random)
        drawn = dict.fromkeys(seeds.tolist())
        for own in self._look_alikes(seeds, drawing.together, random).tolist():
            new = [product for product in own if product not in drawn]
            drawn.update(dict.fromkeys(new[: drawing.together - 1]))
        if len(drawn) < size:
            drawn.update(dict.fromkeys(random.permutation(len(self.rows)).tolist()))
        return np.array(list(drawn)[:size], dtype=np.int64)

    def _look_alikes(
        self, seeds: npt.NDArray[np.int64], together: int, random: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Returns int64[S,...]: of each seed, products of its colours in random order."""
        if together == 1:
            return np.zeros((len(seeds), 0), dtype=np.int64)
        offered = random.permutation(len(self.rows))[:_MOST_OFFERED]
        likeness = self._colours[seeds] @ self._colours[offered].T
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : _NEAREST * together]
        return random.permuted(offered[nearest], axis=1)

    def _at_random(self, share: float, size: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draws products of both kinds; where one kind is short, the other fills up."""
        wanted = round(share * size)
        several = max(min(wanted, len(self._several)), size - len(self._single))
        return np.concatenate(
            [
                random.choice(self._several, several, replace=False),
                random.choice(self._single, size - several, replace=False),
            ]
        )

    def _pair(self, product: int, main: float, random: np.random.Generator) -> tuple[int, int]:
        rows = self.rows[product]
        if len(rows) == 1:
            return rows[0], rows[0]
        first, second = random.choice(len(rows), 2, replace=False).tolist()
        if random.random() < main and 0 not in (first, second):
            first = 0
        return rows[first], rows[second]
