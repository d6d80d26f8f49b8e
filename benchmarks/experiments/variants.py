"""What an arm's training data may differ in: changes planted into the shop, each with a seed.

The shop that is measured on is never changed, except in the number of its pictures (``views``) and
in how much each of them shows (``covered``), which training and measuring must share.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from catalog.pictures import DecodedPictures
from catalog.sample_shop.styles import Offer
from catalog.schema import Click, CoClick

__all__ = ["Variant", "cover", "plant_noise", "split_queries"]

_MOST_TRIES = 100
"""For each pair to be planted; in a tiny shop there may be fewer pairs than wanted."""


@dataclass(frozen=True)
class Variant:
    """How a shop differs from the sample shop.

    Attributes:
        duplicates: share of the log's queries of which half the clicks go to a reworded twin.
        views: pictures of every product; 0 for the shop's own (one, of a tenth of the products two).
        covered: share of each picture's area that is covered in grey, at a random place.
        noise: co-clicks of unrelated products, as a share of the true ones.
    """

    duplicates: float = 0.0
    views: int = 0
    covered: float = 0.0
    noise: float = 0.0


def split_queries(clicks: Sequence[Click], share: float, seed: int) -> list[Click]:
    """Gives a share of the queries a twin with the same intent, and half of their clicks to it.

    Query and twin then look like negatives of each other's products, although they mean the same. The
    twin is the query with one word of politeness behind it, so that it is no other intent.
    """
    source = random.Random(f"{seed}:duplicates")
    queries = sorted({click.query for click in clicks})
    twins = {query: f"{query} please" for query in source.sample(queries, round(share * len(queries)))}
    return [
        replace(click, query=twins[click.query]) if click.query in twins and source.random() < 0.5 else click
        for click in clicks
    ]


def plant_noise(
    coclicks: Sequence[CoClick], offers: Sequence[Offer], share: float, seed: int
) -> list[CoClick]:
    """Adds co-clicks between unrelated products: half of the attempts within an article, half anywhere.

    They go both ways, and their counts are those of true co-clicks, so no count gives them away.
    """
    source = random.Random(f"{seed}:co-click noise")
    shelves: dict[str, list[Offer]] = {}
    for offer in offers:
        shelves.setdefault(offer.style.article.name, []).append(offer)
    known = {(row.trigger_id, row.clicked_id) for row in coclicks}
    planted: list[CoClick] = []
    wanted = round(share * len(coclicks))
    for tried in range(_MOST_TRIES * wanted):
        if len(planted) >= wanted:
            break
        one = source.choice(offers)
        # By the attempt, not by the number planted: a small shop may have no other style on the shelf.
        other = source.choice(shelves[one.style.article.name] if tried % 2 else offers)
        pair = (one.product_id, other.product_id)
        if one.style.group != other.style.group and pair not in known:
            known |= {pair, pair[::-1]}
            planted += [CoClick(*way, source.choice(coclicks).clicks) for way in (pair, pair[::-1])]
    return sorted([*coclicks, *planted], key=lambda row: (row.trigger_id, row.clicked_id))


def cover(pictures: DecodedPictures, share: float, seed: int) -> DecodedPictures:
    """Covers a square of every picture in grey: of one view, something is always hidden.

    Args:
        pictures: uint8[N,V,H,W,3].
        share: of the area that is covered.
        seed: of the places.
    """
    source = np.random.default_rng(seed)
    pixels: npt.NDArray[np.uint8] = pictures.pixels.copy()
    side = pixels.shape[2]
    edge = round(side * share**0.5)
    for row, view in np.argwhere(pictures.has_image).tolist():
        top, left = source.integers(0, side - edge + 1, 2).tolist()
        pixels[row, view, top : top + edge, left : left + edge] = 128
    return replace(pictures, pixels=pixels)
