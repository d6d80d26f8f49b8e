"""A word that no product has, mended: the known word at one edit that most products have.

The method is Norvig's ("How to Write a Spelling Corrector", 2007): make every string at one deletion,
transposition, substitution or insertion, and look which of them are known. For one edit these are some
hundreds of look-ups, a millisecond, and they need no dictionary beside the index.
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_lowercase

from retrieval_gateway.channels.analysis import stems

__all__ = ["LEAST_LETTERS", "edits", "mended_stem"]

LEAST_LETTERS = 5
"""Of a word to be mended: shorter ones have known words at one edit that mean something else."""


def edits(word: str) -> set[str]:
    """Returns every string at one edit from a word; what is put in is a letter of a to z."""
    parts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    found = {left + right[1:] for left, right in parts if right}
    found |= {left + right[1] + right[0] + right[2:] for left, right in parts if len(right) > 1}
    for letter in ascii_lowercase:
        found |= {left + letter + right[1:] for left, right in parts if right}
        found |= {left + letter + right for left, right in parts}
    return found - {word, ""}


def mended_stem(word: str, frequency: Callable[[str], int]) -> str | None:
    """Returns the stem of the likeliest word that was meant, or None where nothing known is near.

    Args:
        word: as typed, normalised; of fewer than ``LEAST_LETTERS`` letters, or with other signs, it is
            left as it is.
        frequency: of a stem, how many products have it.
    """
    if len(word) < LEAST_LETTERS or not word.isalpha():
        return None
    candidates = sorted(set(stems(sorted(edits(word)))))
    best = max(candidates, key=frequency)
    return best if frequency(best) else None
