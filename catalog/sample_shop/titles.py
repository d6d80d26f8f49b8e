"""What suppliers write: titles, descriptions and the structured fields.

Each supplier has a habit of its own, so that the same article reads differently from two
of them. Unless an offer is ``revealed``, nothing here names its colour, pattern or shape.
"""

from __future__ import annotations

import random
import re

from catalog.sample_shop.styles import Offer
from catalog.sample_shop.vocabulary import COLOURS, PATTERNS, SUPPLIERS
from catalog.schema import Product

__all__ = ["product_of", "specification_forms"]

# {look} is what the picture shows, {size} the specification: each empty where it may not be told.
_HABITS = (
    "{brand} {style} {look} {noun} {size}",
    "{style} {look} {noun} {size} by {brand}",
    "{look} {noun} {size}, {material}, {brand} {style}",
    "{brand} {look} {noun} {style} {size} ({material})",
    "{noun} {style} {size} {look} - {brand}",
    "{material} {look} {noun} {size} {brand} {style}",
    "{brand}: {style} {noun}, {look} {size}",
    "{size} {look} {noun} {brand} {style} in {material}",
)
_USES = {
    "Kitchen": (
        "Dishwasher and microwave safe.",
        "Made for everyday meals.",
        "Glazed by hand.",
        "Stacks neatly.",
    ),
    "Home": (
        "Brings calm to any room.",
        "Easy to care for.",
        "Goes with modern and classic rooms.",
        "A fine gift.",
    ),
    "Fashion": (
        "Comfortable from morning to night.",
        "A favourite for the weekend.",
        "Light and hard-wearing.",
        "Carefully finished seams.",
    ),
    "Electronics": (
        "Tested for daily use.",
        "Reliable performance.",
        "Two-year warranty.",
        "Comes in a recycled box.",
    ),
    "Hardware": (
        "For workshop and home.",
        "Made to industry tolerances.",
        "Trusted by professionals.",
        "Easy to install.",
    ),
    "Leisure": (
        "Ready for the next adventure.",
        "Loved by beginners and experts.",
        "Made to last for years.",
        "Small batch production.",
    ),
}
_MADE = (
    "Made of {material}.",
    "Quality {material}.",
    "{material}, responsibly sourced.",
    "In fine {material}.",
)


def product_of(offer: Offer, source: random.Random) -> Product:
    """Returns the offer as a catalogue row, in its supplier's words."""
    style = offer.style
    shown = {"color": offer.color, "pattern": style.pattern, "shape": style.shape}
    attributes = {name: value for name, value in shown.items() if value} | {"material": style.material}
    if offer.specification:
        attributes[style.article.measure] = offer.specification
    return Product(
        product_id=offer.product_id,
        title=_title(offer, source),
        description=_description(offer, source),
        category=style.article.category,
        subcategory=style.article.path,
        brand=style.brand,
        color=offer.color,
        price=offer.price,
        supplier=offer.supplier,
        style_group=style.group,
        in_stock=offer.in_stock,
        attributes=attributes,
    )


def specification_forms(specification: str) -> tuple[str, ...]:
    """Returns the ways to write a specification: ``M6x30``, ``M6 x 30``."""
    spaced = re.sub(r"(?<=\d)x(?=\d)", " x ", specification)
    return (specification,) if spaced == specification else (specification, spaced)


def _title(offer: Offer, source: random.Random) -> str:
    style = offer.style
    size = source.choice(specification_forms(offer.specification)) if offer.specification else ""
    pack = source.choice(style.article.pack) if style.article.pack else ""
    text = _HABITS[SUPPLIERS.index(offer.supplier)].format(
        brand=style.brand,
        style=style.name,
        look=_look(offer, source),
        noun=source.choice(style.article.names),
        size=f"{size} {pack}".strip(),
        material=style.material,
    )
    text = re.sub(r"\s+(?=[,)])|,\s*(?=,|$)", "", " ".join(text.split()))
    text = " ".join(text.split()).rstrip(" ,")
    return text[:1].upper() + text[1:]


def _look(offer: Offer, source: random.Random) -> str:
    if not offer.revealed:
        return ""
    words = [source.choice(COLOURS[offer.color][1])]
    if offer.style.pattern not in ("", "plain"):
        words.append(source.choice(PATTERNS[offer.style.pattern]))
    if offer.style.shape:
        words.append(offer.style.shape)
    return " ".join(words)


def _description(offer: Offer, source: random.Random) -> str:
    style = offer.style
    made = source.choice(_MADE).format(material=style.material)
    sentences = [
        made[:1].upper() + made[1:],
        *source.sample(_USES[style.article.category], source.randint(1, 2)),
    ]
    if offer.revealed and source.random() < 0.5:
        sentences.insert(1, f"Colour: {offer.color}.")
    return " ".join(sentences)
