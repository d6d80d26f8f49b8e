"""What a shopper could ask for that a product has: its facets.

Taken from category path, colour, brand, attributes and title of any catalogue, with no
knowledge of what is sold. Rules that tell a useful value from a useless one ("Yes", 14.2,
a whole paragraph) are here; how often a value occurs is weighed by the simulation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from catalog.schema import Product
from catalog.text import normalise_text

__all__ = ["Facets", "facets_of", "free_text_keys"]

_AUDIENCES = {
    "men": "men", "mens": "men", "men's": "men", "man": "men", "male": "men",
    "women": "women", "womens": "women", "women's": "women", "ladies": "women", "female": "women",
    "boys": "boys", "girls": "girls", "kids": "kids", "children": "kids", "baby": "babies",
    "babies": "babies",
}  # fmt: skip
_SAYS_NOTHING = frozenset(
    {
        *("yes", "no", "true", "false", "none", "null", "nan", "na", "n/a", "unknown", "other", "others"),
        *("default", "misc", "miscellaneous", "various", "standard", "all", "any", "new", "generic"),
    }
)
_PATH = re.compile(r"\s*[>/|»]\s*")
_LIST = re.compile(r"\s*[,;|]\s*")
_PARENTHESES = re.compile(r"\s*\(([^)]*)\)\s*")
_COLOUR_LIST = re.compile(r"\s*[/,;&+]\s*")
_HAS_LETTER = re.compile(r"[^\W\d_]")
_LONGEST_VALUE = 32
_MOST_WORDS = 4
_FREE_TEXT_LENGTH = 60
_LONGEST_TITLE_WORDS = 5


@dataclass(frozen=True, slots=True)
class Facets:
    """The facets of one product, normalised; empty where it has none.

    Attributes:
        noun: what it is: the last part of the category path (``jackets``).
        groups: the broader parts of the path (``tops``).
        audience: ``men``, ``women``, ``kids``, ... if exactly one.
        colours: the colours it is sold as.
        brand: the maker.
        values: attribute values and tags worth asking for.
        titles: the title and fragments of it.
    """

    noun: str
    groups: tuple[str, ...]
    audience: str
    colours: tuple[str, ...]
    brand: str
    values: tuple[str, ...]
    titles: tuple[str, ...]


def free_text_keys(products: Sequence[Product]) -> frozenset[str]:
    """Returns the attributes that hold prose: their values are long on average, so no queries."""
    lengths: dict[str, list[int]] = {}
    for product in products:
        for key, value in product.attributes.items():
            if isinstance(value, str) and value:
                lengths.setdefault(key, []).append(len(value))
    means = {key: sum(values) / len(values) for key, values in lengths.items()}
    return frozenset(
        key for key, mean in means.items() if mean > _FREE_TEXT_LENGTH or "description" in key.lower()
    )


def facets_of(product: Product, skipped_keys: frozenset[str] = frozenset()) -> Facets:
    """Returns the product's facets; attributes named in ``skipped_keys`` are not looked at."""
    parts, asides = _path_parts(product)
    audience = _audience(parts, product)
    nouns = [part for part in parts if part not in _AUDIENCES]
    colours = _colours(product.color)
    brand = normalise_text(product.brand)
    taken = {*nouns[-1:], *colours, brand, *_AUDIENCES, normalise_text(product.color)}
    values = [*asides, *_attribute_values(product, skipped_keys)]
    return Facets(
        noun=nouns[-1] if nouns else "",
        groups=_distinct(nouns[:-1]),
        audience=audience,
        colours=colours,
        brand=brand,
        values=_distinct(value for value in values if value not in taken and _is_askable(value)),
        titles=_distinct(_title_fragments(normalise_text(product.title))),
    )


def _path_parts(product: Product) -> tuple[list[str], list[str]]:
    """Splits category and its path; what stands in parentheses is set aside as a value."""
    parts: list[str] = []
    asides: list[str] = []
    for raw in (product.category, *_PATH.split(product.subcategory)):
        text = normalise_text(raw)
        asides.extend(_LIST.split(inner)[0] for inner in _PARENTHESES.findall(text))
        plain = _PARENTHESES.sub(" ", text).strip()
        if plain and plain not in parts:
            parts.append(plain)
    return parts, asides


def _audience(parts: Sequence[str], product: Product) -> str:
    in_path = {_AUDIENCES[part] for part in parts if part in _AUDIENCES}
    words = (normalise_text(value) for value in _flatten(product.attributes.get("gender")))
    found = in_path or {_AUDIENCES.get(word, "anybody") for word in words}
    only = next(iter(found)) if len(found) == 1 else ""
    return "" if only == "anybody" else only


def _colours(color: str) -> tuple[str, ...]:
    plain = _PARENTHESES.sub(" ", normalise_text(color))
    return _distinct(part for part in _COLOUR_LIST.split(plain) if _is_askable(part))


def _attribute_values(product: Product, skipped_keys: frozenset[str]) -> Iterator[str]:
    for key in sorted(product.attributes):
        if key not in skipped_keys:
            for value in _flatten(product.attributes[key]):
                yield normalise_text(value)


def _flatten(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _LIST.split(value)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flatten(item)


def _is_askable(value: str) -> bool:
    return (
        2 <= len(value) <= _LONGEST_VALUE
        and len(value.split()) <= _MOST_WORDS
        and value not in _SAYS_NOTHING
        and _HAS_LETTER.search(value) is not None
    )


def _title_fragments(title: str) -> Iterator[str]:
    """The whole title if it is short, its beginning, its end, and words that look like models."""
    words = [word for word in re.split(r"[\s,;:()]+", title) if word.strip("-–/&")]
    if 1 < len(words) <= _LONGEST_TITLE_WORDS:
        yield " ".join(words)
    if len(words) > 2:
        yield " ".join(words[:2])
        yield " ".join(words[-2:])
    if len(words) > 3:
        yield " ".join(words[:3])
    for word in words:
        if len(word) > 2 and any(c.isdigit() for c in word) and _HAS_LETTER.search(word):
            yield word


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
