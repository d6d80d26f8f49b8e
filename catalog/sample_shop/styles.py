"""Styles and the offers that suppliers make of them: the shop's stock, before any words or pictures.

A style (one brand's "Alma" mug, striped) comes in several versions (colours, sizes, or
both), and each version from one to three suppliers. All of a style's offers share a style
group; every offer is a product.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from catalog.sample_shop.articles import ARTICLES, Article, Decides
from catalog.sample_shop.vocabulary import BRANDS, COLOURS, PATTERNS, STYLE_NAMES, SUPPLIERS

__all__ = ["OMITTED_SHARE", "Offer", "Style", "make_offers"]

OMITTED_SHARE = 0.7
"""Share of the offers whose colour, pattern and shape stand in the picture alone, neither in title
nor in description. It holds for the visual and the mixed categories."""

_SUPPLIERS_A_VERSION = ((1, 2, 3), (0.55, 0.30, 0.15))
_DUPLICATE_SHARE = 0.05
_PLAIN_SHARE = 0.35
_NO_PRICE_SHARE = 0.02
_IN_STOCK = ((True, False, None), (0.92, 0.06, 0.02))


@dataclass(frozen=True, slots=True)
class Style:
    """One design of one brand; ``pattern`` and ``shape`` are empty where the article has none."""

    group: str
    article: Article
    brand: str
    name: str
    pattern: str
    shape: str
    material: str
    price: float


@dataclass(frozen=True, slots=True)
class Offer:
    """One product: a version of a style from one supplier.

    Attributes:
        serial: its place in the shop, from 0.
        color: a key of ``COLOURS``, empty in textual categories.
        specification: the version's size or model, empty in visual categories.
        revealed: whether the words name what the picture shows.
    """

    serial: int
    style: Style
    color: str
    specification: str
    supplier: str
    revealed: bool
    price: float | None
    in_stock: bool | None

    @property
    def product_id(self) -> str:
        """The product's id, in the order of the shop."""
        return f"P{self.serial:06d}"

    @property
    def version(self) -> tuple[str, str, str]:
        """Equal for the same article from different suppliers."""
        return (self.style.group, self.color, self.specification)


def make_offers(count: int, seed: int) -> list[Offer]:
    """Returns exactly ``count`` offers; the articles take turns, so that all are about equally frequent."""
    source = random.Random(f"{seed}:offers")
    offers: list[Offer] = []
    for style in _styles(source):
        for color, specification in _versions(style.article, source):
            for supplier in _offering(source):
                if len(offers) == count:
                    return offers
                offers.append(_offer(len(offers), style, color, specification, supplier, source))
    raise AssertionError("styles never end")


def _styles(source: random.Random) -> Iterator[Style]:
    used: Counter[tuple[str, str, str]] = Counter()
    number = 0
    while True:
        for article in source.sample(ARTICLES, len(ARTICLES)):
            brand = source.choice(BRANDS[article.category])
            name = source.choice(STYLE_NAMES)
            used[article.name, brand, name] += 1
            edition = used[article.name, brand, name]
            yield Style(
                group=f"S{number:05d}",
                article=article,
                brand=brand,
                name=name if edition == 1 else f"{name} {edition}",
                pattern=_pattern(article, source),
                shape=source.choice(article.shapes),
                material=source.choice(article.materials),
                price=source.uniform(*article.prices),
            )
            number += 1


def _pattern(article: Article, source: random.Random) -> str:
    if not article.patterned:
        return ""
    if source.random() < _PLAIN_SHARE:
        return "plain"
    return source.choice([pattern for pattern in PATTERNS if pattern != "plain"])


def _versions(article: Article, source: random.Random) -> list[tuple[str, str]]:
    """Returns distinct (colour, specification) pairs; one of the two is empty where it does not apply."""
    count = source.randint(2, 4)
    if article.decides is Decides.IMAGE:
        return [(color, "") for color in source.sample(list(COLOURS), count)]
    if article.decides is Decides.TEXT:
        return [("", specification) for specification in source.sample(article.specifications, count)]
    colors = source.sample(list(COLOURS), count)
    return [(color, source.choice(article.specifications)) for color in colors]


def _offering(source: random.Random) -> list[str]:
    """Returns the suppliers of one version; now and then one of them lists it twice."""
    count = source.choices(*_SUPPLIERS_A_VERSION)[0]
    suppliers = source.sample(SUPPLIERS, count)
    if source.random() < _DUPLICATE_SHARE:
        suppliers.append(suppliers[0])
    return suppliers


def _offer(
    serial: int, style: Style, color: str, specification: str, supplier: str, source: random.Random
) -> Offer:
    price = round(style.price * source.uniform(0.9, 1.15)) - 0.01
    return Offer(
        serial=serial,
        style=style,
        color=color,
        specification=specification,
        supplier=supplier,
        revealed=bool(color) and source.random() >= OMITTED_SHARE,
        price=None if source.random() < _NO_PRICE_SHARE else max(0.99, round(price, 2)),
        in_stock=source.choices(*_IN_STOCK)[0],
    )
