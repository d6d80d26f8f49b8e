"""What shoppers of the sample shop want, how they say it, and which modality tells.

Both the click log and the judgements are made from these wants. Some wordings are held
out of the log, so that an evaluation also asks in words that training never saw.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from catalog.phrasings import plural
from catalog.sample_shop.articles import ARTICLES, Decides
from catalog.sample_shop.styles import Offer
from catalog.sample_shop.titles import specification_forms
from catalog.sample_shop.vocabulary import COLOURS, PATTERNS

__all__ = ["HELD_OUT_WORDINGS", "WORDINGS", "Want", "deciding_modality", "fits", "phrase", "wants_of"]

# {n} noun, {ns} its plural, {c} colour, {p} pattern, {f} shape, {s} specification, {b} brand, {y} style.
WORDINGS: dict[str, tuple[str, ...]] = {
    "category": ("{n}", "{ns}"),
    "colour+category": ("{c} {n}", "{c} {ns}", "{n} {c}", "{n} in {c}"),
    "pattern+category": ("{p} {n}", "{p} {ns}", "{n} {p}"),
    "colour+pattern+category": ("{c} {p} {n}", "{p} {n} {c}", "{c} {n} {p}", "{c} {p} {ns}"),
    "shape+category": ("{f} {n}", "{f} {ns}", "{n} {f}"),
    "specification": ("{s} {n}", "{n} {s}", "{s}", "{s} {ns}"),
    "colour+specification": ("{c} {n} {s}", "{s} {c} {n}", "{c} {s} {n}"),
    "brand+category": ("{b} {n}", "{b} {ns}"),
    "style": ("{b} {y} {n}", "{y} {n} {b}"),
}
"""Wordings of each kind that the click log uses."""

HELD_OUT_WORDINGS: dict[str, tuple[str, ...]] = {
    "category": ("{ns} online", "buy {n}"),
    "colour+category": ("{ns} in {c}", "{c} coloured {n}", "{ns} {c}"),
    "pattern+category": ("{n} with {p} pattern", "{ns} {p}"),
    "colour+pattern+category": ("{p} {c} {ns}", "{n} in {c} {p}"),
    "shape+category": ("{ns} {f}", "{n} with {f} shape"),
    "specification": ("{ns} {s}", "{n} type {s}"),
    "colour+specification": ("{n} {s} {c}", "{s} {ns} in {c}"),
    "brand+category": ("{ns} by {b}", "{n} from {b}"),
    "style": ("{n} {b} {y}", "{y} {ns} by {b}"),
}
"""Wordings that only evaluation queries use."""

_NOUNS = {article.name: article.names for article in ARTICLES}
_VISUAL_WEIGHTS = {
    "category": 1.2,
    "colour+category": 3.0,
    "pattern+category": 1.5,
    "colour+pattern+category": 2.0,
    "shape+category": 1.5,
    "brand+category": 0.4,
    "style": 0.7,
}
_WEIGHTS: dict[Decides, dict[str, float]] = {
    Decides.IMAGE: _VISUAL_WEIGHTS,
    Decides.TEXT: {"category": 1.0, "specification": 5.0, "brand+category": 0.8, "style": 0.8},
    Decides.BOTH: _VISUAL_WEIGHTS | {"specification": 2.0, "colour+specification": 2.5},
}


@dataclass(frozen=True, slots=True, order=True)
class Want:
    """What is wanted: an article, and the parts that matter; empty parts do not."""

    kind: str
    article: str
    color: str = ""
    pattern: str = ""
    shape: str = ""
    specification: str = ""
    brand: str = ""
    style: str = ""


def wants_of(offer: Offer) -> Iterator[tuple[Want, float]]:
    """Yields what this offer is a good answer to, with the weight of each."""
    style = offer.style
    name, color, pattern, size = style.article.name, offer.color, style.pattern, offer.specification
    wants = {
        "category": Want("category", name),
        "colour+category": Want("colour+category", name, color=color),
        "pattern+category": Want("pattern+category", name, pattern=pattern),
        "colour+pattern+category": Want("colour+pattern+category", name, color=color, pattern=pattern),
        "shape+category": Want("shape+category", name, shape=style.shape),
        "specification": Want("specification", name, specification=size),
        "colour+specification": Want("colour+specification", name, color=color, specification=size),
        "brand+category": Want("brand+category", name, brand=style.brand),
        "style": Want("style", name, brand=style.brand, style=style.name),
    }
    has = {"colour": color, "pattern": pattern, "shape": style.shape, "specification": size}
    for kind, weight in _WEIGHTS[style.article.decides].items():
        if all(has.get(part, "always") for part in kind.split("+")):
            yield wants[kind], weight


def fits(want: Want, offer: Offer) -> bool:
    """Tells whether the offer has every part that is wanted."""
    style = offer.style
    pairs = (
        (want.article, style.article.name),
        (want.color, offer.color),
        (want.pattern, style.pattern),
        (want.shape, style.shape),
        (want.specification, offer.specification),
        (want.brand, style.brand),
        (want.style, style.name),
    )
    return all(wanted in ("", found) for wanted, found in pairs)


def deciding_modality(want: Want, offer: Offer) -> str:
    """Tells what a shopper must look at to know that the offer fits.

    Returns:
        ``image`` or ``text`` if only one of them tells; ``both`` if either does (the category is
        drawn and named; a revealed colour is seen and read) or if both are needed.
    """
    visual = bool(want.color or want.pattern or want.shape)
    textual = bool(want.specification or want.brand or want.style)
    # Nobody writes "plain" into a title, so no words ever reveal it.
    said = offer.revealed and want.pattern != "plain"
    if visual and not textual and not said:
        return "image"
    return "text" if textual and not visual else "both"


def phrase(want: Want, wording: str, source: random.Random) -> str:
    """Returns one query, in lower case, with synonyms chosen by ``source``."""
    noun = source.choice(_NOUNS[want.article])
    words = {
        "n": noun,
        "ns": plural(noun),
        "c": source.choice(COLOURS[want.color][1]) if want.color else "",
        "p": source.choice(PATTERNS[want.pattern]) if want.pattern else "",
        "f": want.shape,
        "s": source.choice(specification_forms(want.specification)) if want.specification else "",
        "b": want.brand,
        "y": want.style,
    }
    return wording.format(**words).lower()
