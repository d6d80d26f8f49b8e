"""Puts the sample shop together and writes it as a catalogue."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from catalog.sample_shop.articles import Decides
from catalog.sample_shop.clicks import make_clicks, make_coclicks
from catalog.sample_shop.drawing import draw_article
from catalog.sample_shop.judgements import make_judgements
from catalog.sample_shop.styles import Offer, make_offers
from catalog.sample_shop.titles import product_of
from catalog.schema import Picture
from catalog.writers import write_catalogue
from faults import InvalidInput

__all__ = ["FEWEST_PRODUCTS", "make_sample_shop"]

FEWEST_PRODUCTS = 50
"""Below it, most queries would have no answer."""

_SECOND_VIEW_SHARE = 0.1
_NO_PICTURE_SHARE = 0.02  # in textual categories only: elsewhere the picture decides
_REPORT_EVERY = 100


def make_sample_shop(
    out: Path, products: int = 1000, seed: int = 0, progress: Callable[[int], None] | None = None
) -> Path:
    """Writes a shop into the folder ``out``: products, pictures, clicks, co-clicks, queries and grades.

    Args:
        out: created where it does not exist; the shop's files in it are replaced.
        products: how many, at least ``FEWEST_PRODUCTS``.
        seed: the same (products, seed) gives the same bytes.
        progress: called with the number of products whose pictures are drawn so far.

    Returns:
        ``out``.

    Raises:
        InvalidInput: too few products.
        StorageFailed: the folder cannot be written.
    """
    if products < FEWEST_PRODUCTS:
        raise InvalidInput(
            "too few for a shop.", field="products", value=products, fix=f"Give at least {FEWEST_PRODUCTS}."
        )
    offers = make_offers(products, seed)
    queries, judgements = make_judgements(offers, seed)
    write_catalogue(
        out,
        [product_of(offer, random.Random(f"{seed}:words:{offer.serial}")) for offer in offers],
        _pictures(offers, seed, progress),
        clicks=make_clicks(offers, seed),
        coclicks=make_coclicks(offers, seed),
        queries=queries,
        judgements=judgements,
    )
    return out


def _pictures(
    offers: Sequence[Offer], seed: int, progress: Callable[[int], None] | None
) -> Iterator[Picture]:
    for done, offer in enumerate(offers, start=1):
        source = random.Random(f"{seed}:pictures:{offer.serial}")
        for view in _views(offer, source):
            style = offer.style
            data = draw_article(style.article.name, style.shape, offer.color, style.pattern, source)
            yield Picture(offer.product_id, view, data)
        if progress is not None and (done % _REPORT_EVERY == 0 or done == len(offers)):
            progress(done)


def _views(offer: Offer, source: random.Random) -> tuple[str, ...]:
    luck = source.random()
    if offer.style.article.decides is Decides.TEXT and luck < _NO_PICTURE_SHARE:
        return ()
    return ("main", "angle") if luck > 1 - _SECOND_VIEW_SHARE else ("main",)
