"""The one rule by which text is made comparable, for training, export, index and serving alike.

Two spellings that a shopper cannot tell apart must give the same tokens and the same
cache key: full-width and half-width forms, upper and lower case, invisible characters,
any kind of white space.
"""

from __future__ import annotations

import unicodedata

__all__ = ["normalise_text"]

# Controls, formats (zero-width joiners, soft hyphens, direction marks), lone surrogates and
# private use: none of them is something that a shopper can see or means to ask for.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})
_MOST_ROUNDS = 8


def normalise_text(text: str) -> str:
    """Returns ``text`` in NFKC, case-folded, without invisible characters, white space folded.

    Idempotent: normalising twice equals normalising once.
    """
    if text.isascii():  # nearly every query: the same rule, without the Unicode tables
        return _without_invisible(text.lower())
    for _ in range(_MOST_ROUNDS):
        # Folding can leave a string that NFKC would change again (U+0345 is one case), and
        # removing a character can bring two together that compose: repeat until it rests.
        folded = _without_invisible(unicodedata.normalize("NFKC", text).casefold())
        folded = unicodedata.normalize("NFKC", folded)
        if folded == text:
            break
        text = folded
    return text


def _without_invisible(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        # White space first: line breaks and tabs are control characters as well.
        text = "".join(
            " " if character.isspace() else character
            for character in text
            if character.isspace() or unicodedata.category(character) not in _INVISIBLE
        )
    return " ".join(text.split())
