"""The two shops of an experiment: one to learn from, and another one, of the same kind, to be measured on.

Nothing that is measured was seen in training: the shops share their vocabulary, not their products. The
sample shop's own records (``Offer``) say what a product is, which pictures and titles only show.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.experiments.scale import Scale
from benchmarks.experiments.variants import Variant, cover, plant_noise, split_queries
from catalog.catalogue import Catalogue
from catalog.click_simulation import simulate_clicks
from catalog.held_out import is_held_out_product
from catalog.pictures import DecodedPictures, decode_catalogue
from catalog.readers import read_catalogue, read_clicks, read_coclicks, read_judgements, read_queries
from catalog.sample_shop import make_sample_shop
from catalog.sample_shop.drawing import draw_article
from catalog.sample_shop.styles import Offer, make_offers
from catalog.schema import Click, CoClick, EvaluationQuery, Judgement, Picture

__all__ = ["Shop", "Shops", "distractors", "open_shops"]

_TEST_SEED = 1_000
_DISTRACTOR_SEED = 9_000
_COVER_SEED = 77


@dataclass(frozen=True)
class Shop:
    """One shop in memory.

    Attributes:
        catalogue: N products with their pictures.
        clicks: the click log.
        coclicks: which products were clicked after which; empty for a real catalogue.
        queries: with judgements.
        judgements: of these queries.
        offers: what each product is, in the catalogue's order; empty for a real catalogue.
        seed: of whatever is drawn for it later.
        variant: how it differs from the sample shop.
    """

    catalogue: Catalogue
    clicks: Sequence[Click]
    coclicks: Sequence[CoClick]
    queries: Sequence[EvaluationQuery]
    judgements: Sequence[Judgement]
    offers: Sequence[Offer]
    seed: int
    variant: Variant

    def pictures(self, size: int, views: int) -> DecodedPictures:
        """Returns the pictures at a size, covered where the variant says so."""
        decoded = decode_catalogue(self._shown, size, views, "skip")
        if self.variant.covered:
            decoded = cover(decoded, self.variant.covered, _COVER_SEED + self.seed)
        return decoded

    @cached_property
    def _shown(self) -> Catalogue:
        if not self.variant.views:
            return self.catalogue
        return Catalogue(self.catalogue.products, _Drawn(self.offers, self.variant.views, self.seed))


@dataclass(frozen=True)
class Shops:
    """The shop to learn from, and the one to be measured on."""

    train: Shop
    test: Shop


def open_shops(folder: Path, scale: Scale, seed: int, variant: Variant) -> Shops:
    """Returns the two shops of a seed, which are drawn into ``folder`` where they are not there yet.

    Of a real catalogue they are its styles by the held-out rule, with clicks simulated for the former.
    """
    if scale.catalogue:
        return _parted(Path(scale.catalogue), seed)
    train = _open(folder, scale.train_products, seed, variant)
    test = _open(
        folder, scale.test_products, _TEST_SEED + seed, Variant(views=variant.views, covered=variant.covered)
    )
    return Shops(train, test)


def distractors(folder: Path, products: int) -> Catalogue:
    """Returns products of yet another shop, the same for all seeds, which answer no query's judgement."""
    return read_catalogue(_drawn(folder, products, _DISTRACTOR_SEED))


def _parted(place: Path, seed: int) -> Shops:
    whole = read_catalogue(place)
    queries = read_queries(place / "queries.csv")
    judgements = read_judgements(place / "qrels.csv", product_ids=whole)
    shops = []
    for held_out in (False, True):
        part = whole.subset(
            [one.product_id for one in whole.products if is_held_out_product(one) is held_out]
        )
        clicks = [] if held_out else simulate_clicks(part, seed)
        shops.append(Shop(part, clicks, [], queries, judgements, (), seed, Variant()))
    return Shops(*shops)


def _open(folder: Path, products: int, seed: int, variant: Variant) -> Shop:
    place = _drawn(folder, products, seed)
    offers = make_offers(products, seed)
    clicks = read_clicks(place) or []
    coclicks = read_coclicks(place) or []
    if variant.duplicates:
        clicks = split_queries(clicks, variant.duplicates, seed)
    if variant.noise:
        coclicks = plant_noise(coclicks, offers, variant.noise, seed)
    return Shop(
        read_catalogue(place),
        clicks,
        coclicks,
        read_queries(place / "queries.csv"),
        read_judgements(place / "qrels.csv"),
        offers,
        seed,
        variant,
    )


def _drawn(folder: Path, products: int, seed: int) -> Path:
    """Draws a shop beside its place and renames it: two processes may do so at once."""
    place = folder / f"{products}-products-seed-{seed}"
    if not place.is_dir():
        staging = folder / f".{place.name}-{os.getpid()}"
        make_sample_shop(staging, products, seed)
        try:
            staging.rename(place)
        except OSError:  # another process was first
            shutil.rmtree(staging, ignore_errors=True)
    return place


class _Drawn:
    """Pictures drawn on demand: as many of each product as asked for."""

    def __init__(self, offers: Sequence[Offer], views: int, seed: int) -> None:
        self._offers = {offer.product_id: offer for offer in offers}
        self._views, self._seed = views, seed

    def pictures(self, product_id: str) -> tuple[Picture, ...]:
        offer = self._offers[product_id]
        style = offer.style
        source = random.Random(f"{self._seed}:views:{offer.serial}")
        return tuple(
            Picture(
                product_id,
                f"view {place}",
                draw_article(style.article.name, style.shape, offer.color, style.pattern, source),
            )
            for place in range(self._views)
        )
