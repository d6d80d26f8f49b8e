"""How shoppers say what they want: one intent, many wordings.

"red jackets for men", "mens red jacket" and "jacket red" mean the same. The towers must
learn that from the log, so the simulation says every intent in several ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Intent", "phrasings_of", "plural", "singular"]

_JOINED = re.compile(r"\s*(?:&|\band\b)\s*")
# Pairs, things that are not counted, and words that only look like plurals.
_INVARIABLE = frozenset(
    {
        *("pants", "shorts", "jeans", "trousers", "tights", "leggings", "glasses", "sunglasses", "goggles"),
        *("scissors", "pliers", "tweezers", "headphones", "news", "series", "species"),
        *("apparel", "clothing", "footwear", "jewellery", "jewelry", "furniture", "equipment", "hardware"),
        *("wireless", "gear", "luggage", "bedding", "lighting", "storage", "cookware", "software", "food"),
        *("wool", "milk", "juice", "garlic", "training", "lens", "gas", "bus", "chess", "canvas"),
    }
)
_POSSESSIVES = {"men": ("mens", "men's"), "women": ("womens", "women's"), "kids": ("kids", "kids'")}


@dataclass(frozen=True, slots=True, order=True)
class Intent:
    """What is wanted; empty parts do not matter to the shopper.

    Attributes:
        noun: the kind of article, or empty for a query by value alone.
        audience: for whom.
        colour: which colour.
        brand: whose.
        value: a material, pattern, feature, tag or type number.
        words: a query to be taken as it is (fragments of titles); excludes the others.
    """

    noun: str = ""
    audience: str = ""
    colour: str = ""
    brand: str = ""
    value: str = ""
    words: str = ""


def phrasings_of(intent: Intent) -> tuple[str, ...]:
    """Returns the distinct wordings of an intent, the plainest first."""
    if intent.words:
        return (intent.words,)
    if not intent.noun:
        return _value_forms(" ".join(part for part in (intent.brand, intent.value) if part))
    found: dict[str, None] = {}
    for pattern in _patterns(intent):
        for noun in _noun_forms(intent.noun):
            found[pattern.replace("{n}", noun)] = None
    return tuple(found)


def singular(noun: str) -> str:
    """Returns the noun phrase with its last word in the singular, by English spelling rules."""
    head, _, last = noun.rpartition(" ")
    if last in _INVARIABLE or not last.endswith("s") or last.endswith(("ss", "us", "is", "ics")):
        return noun
    if last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("ches", "shes", "sses", "xes", "zes", "atoes", "eroes")):
        last = last[:-2]
    elif last.endswith(("elves", "alves")):
        last = last[:-3] + "f"
    elif last.endswith("knives"):
        last = last[:-3] + "fe"
    else:
        last = last[:-1]
    return f"{head} {last}".strip()


def plural(noun: str) -> str:
    """Returns the noun phrase with its last word in the plural; one that is plural stays."""
    head, _, last = noun.rpartition(" ")
    if not last.replace("-", "").isalpha() or last in _INVARIABLE or singular(last) != last:
        return noun
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    elif last.endswith("lf"):
        last = last[:-1] + "ves"
    elif last.endswith("knife"):
        last = last[:-2] + "ves"
    elif last.endswith(("s", "x", "z", "ch", "sh", "ato")):
        last += "es"
    else:
        last += "s"
    return f"{head} {last}".strip()


def _noun_forms(noun: str) -> list[str]:
    """The shop's own name, both numbers, and each half of a name like ``hoodies & sweatshirts``."""
    forms = [noun, plural(noun), singular(noun)]
    halves = [half for half in _JOINED.split(noun) if half]
    if len(halves) > 1:
        forms.append(" and ".join(halves))
        for half in halves:
            forms += [plural(half), singular(half)]
    return list(dict.fromkeys(forms))


def _patterns(intent: Intent) -> list[str]:
    """Returns wordings in which ``{n}`` stands for the noun."""
    audience = intent.audience
    before = " ".join(part for part in (intent.brand, intent.colour, intent.value) if part)
    if not before and not audience:
        return ["{n}"]
    if not audience:
        patterns = [f"{before} {{n}}", f"{{n}} {before}"]
        if intent.colour and not intent.value:
            patterns.append(f"{{n}} in {before}")
        # Nobody types "switches with SMD-2": only plain words take a "with".
        if intent.value.replace(" ", "").isalpha() and not intent.colour:
            patterns.append(f"{{n}} with {before}")
        return patterns
    whose = _POSSESSIVES.get(audience, (audience,))
    patterns = [f"{before} {{n}} for {audience}"]
    patterns += [f"{word} {before} {{n}}" for word in whose]
    patterns += [f"{before} {whose[0]} {{n}}", f"{whose[0]} {{n}} {before}", f"{{n}} {before} {audience}"]
    return list(dict.fromkeys(" ".join(pattern.split()) for pattern in patterns))


def _value_forms(value: str) -> tuple[str, ...]:
    """Type numbers and tags are typed with or without their underscores and hyphens."""
    loose = " ".join(re.sub(r"[_\-]+", " ", value).split())
    return tuple(dict.fromkeys(form for form in (value, loose) if form))
