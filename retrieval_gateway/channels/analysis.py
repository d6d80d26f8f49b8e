"""Text to words: one way for the products that are indexed and for the queries that look for them.

``catalog.text.normalise_text`` comes first, as everywhere. Then words are cut out, so that no character
of a query can ever be an operator; folded to their base letters; and stemmed by the English rules of
Porter's second stemmer (Snowball). Words of other languages pass through it nearly unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from catalog.text import normalise_text

__all__ = ["RULES_VERSION", "STOP_WORDS", "analyse", "split_words", "stems"]

RULES_VERSION = 1
"""Raise it when a rule changes: an index made by other rules is then refused by name."""

STOP_WORDS = frozenset(
    {
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "if", "in", "into", "is"),
        *("it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these"),
        *("they", "this", "to", "was", "will", "with"),
    }
)
"""Words that every description has. They are indexed, and left out of queries that have others."""

_LONGEST = 40
"""Bytes of a word; longer ones are serial numbers or noise, and nobody finds anything by them."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = rf"[\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]"
# Sizes keep their point (2.54mm), possessives their apostrophe until the stemmer takes it off, and
# scripts without spaces are cut into single characters.
_PATTERN = rf"\p{{N}}+(?:\.\p{{N}}+)+{_WORD}*|{_WORD}+(?:'\p{{L}}+)*|[{_UNSPACED}]"
# U+0307 is what case folding leaves of the Turkish capital i.
_ALIKE = str.maketrans({"’": "'", "ʼ": "'", "`": "'", "\u0307": None})


def _analyzer(tokenizer: Tokenizer, *filters: Filter) -> TextAnalyzer:
    builder = TextAnalyzerBuilder(tokenizer)
    for one in filters:
        builder = builder.filter(one)
    return builder.build()


_SPLIT = _analyzer(Tokenizer.regex(_PATTERN), Filter.remove_long(_LONGEST))
_STEM = _analyzer(Tokenizer.whitespace(), Filter.ascii_fold(), Filter.stemmer("english"))


def split_words(text: str) -> list[str]:
    """Returns the words of a text in their order, normalised but not stemmed."""
    return _SPLIT.analyze(normalise_text(text).translate(_ALIKE))


def stems(words: Sequence[str]) -> list[str]:
    """Returns the stem of each word that ``split_words`` returned."""
    return _STEM.analyze(" ".join(words))


def analyse(text: str) -> list[str]:
    """Returns the stems of a text, as they are indexed."""
    return stems(split_words(text))
