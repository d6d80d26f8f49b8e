"""Misspellings as fingers make them, for typo-aware training and for the typo row of the experiments.

A model code or a number with one wrong character names another thing, and a short word becomes another
word: so only words of four or more letters change, and nothing that stands together with a digit does.
Which errors are drawn, and how often each, is our proposal [DESIGN]; the four kinds are those that
Damerau counted (1964), and an edit of any of them is one step of the distance that bears his name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from faults import InvalidInput

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST_WORD = 4
_SHARE_WITH_TWO = 0.25
"""Of the misspelt queries in training: one wrong letter is more common than two."""

_LETTERS = re.compile(r"[^\W\d_]+")
_CHUNK = re.compile(r"\S+")


def _keyboard() -> dict[str, str]:
    """Each letter's neighbours on a QWERTY keyboard, whose rows are shifted by half a key."""
    place = {(row, column): key for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)}
    around = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
    return {
        key: "".join(
            place[row + up, column + side] for up, side in around if (row + up, column + side) in place
        )
        for (row, column), key in place.items()
    }


NEIGHBOURS = _keyboard()
"""By lower-case letter. Other letters have none: they are only left out, doubled or swapped."""


def misspell(text: str, edits: int, random: np.random.Generator) -> str:
    """Makes ``edits`` typing errors in ``text``.

    The first letter of a word stays, as it does in most misspellings. Where several edits are asked
    for they may fall into one word, but never undo each other altogether.

    Args:
        text: what was meant.
        edits: how many letters go wrong: each is hit beside its key, left out, doubled by itself or
            a neighbour, or swapped with the next one.
        random: decides which; the same state gives the same misspelling.

    Returns:
        A text at a Damerau-Levenshtein distance of 1 to ``edits``; ``text`` itself where it has no
        word of four letters, or ``edits`` is 0.

    Raises:
        InvalidInput: ``edits`` is negative.
    """
    if edits < 0:
        raise InvalidInput("is negative", field="edits", value=edits, fix="Give 0 or more.")
    spans = _words(text)
    if not spans or not edits:
        return text
    ends = np.cumsum([end - start for start, end in spans])
    while True:
        words = [text[start:end] for start, end in spans]
        for letter in random.integers(ends[-1], size=edits):  # so a longer word errs more often
            word = int(np.searchsorted(ends, letter, side="right"))
            words[word] = _one_edit(words[word], random)
        wrong = _joined(text, spans, words)
        if wrong != text:
            return wrong


def misspell_all(texts: Sequence[str], edits: int, seed: int) -> list[str]:
    """Misspells each text by itself: neither its place nor its neighbours decide how.

    Made for measuring: every tower under comparison is asked the same misspelt queries.
    """
    return [misspell(text, edits, np.random.default_rng([seed, edits, *text.encode()])) for text in texts]


def tokens_with_typos(
    queries: Sequence[str],
    query_tokens: Sequence[list[int]],
    drawn: npt.NDArray[np.int64],
    chance: float,
    encode: Callable[[Sequence[str]], list[list[int]]],
    random: np.random.Generator,
) -> list[list[int]]:
    """Returns a batch's query tokens, some of them of a misspelt query.

    At most ``chance`` of a batch's queries (on average) are misspelt and tokenised, whatever the size
    of the log; the others' tokens are taken as they are.

    Args:
        queries: all distinct queries (``Examples.queries``).
        query_tokens: ids of each.
        drawn: int64[Q], which queries the batch asks.
        chance: of a query to be misspelt, by one edit or sometimes two; 0 changes nothing.
        encode: texts to ids, with the limit that made ``query_tokens``.
        random: of this batch alone, such as ``np.random.default_rng([seed, step])``: how much is drawn
            from it depends on the queries, so a shared one would make batches depend on each other.

    Returns:
        Q lists of ids.
    """
    tokens = [query_tokens[query] for query in drawn.tolist()]
    wrong = np.flatnonzero(random.random(len(tokens)) < chance)
    edits = np.where(random.random(len(wrong)) < _SHARE_WITH_TWO, 2, 1)
    texts = [
        misspell(queries[drawn[place]], number, random)
        for place, number in zip(wrong.tolist(), edits.tolist(), strict=True)
    ]
    for place, ids in zip(wrong.tolist(), encode(texts) if texts else [], strict=True):
        tokens[place] = ids
    return tokens


def _words(text: str) -> list[tuple[int, int]]:
    """Where the words lie that may change: letters of scripts with case, and no digit beside them."""
    return [
        (chunk.start() + word.start(), chunk.start() + word.end())
        for chunk in _CHUNK.finditer(text)
        if not any(character.isnumeric() for character in chunk.group())
        for word in _LETTERS.finditer(chunk.group())
        if word.end() - word.start() >= _SHORTEST_WORD and _has_case(word.group())
    ]


def _has_case(word: str) -> bool:
    return all(letter.lower() != letter.upper() for letter in word)


def _joined(text: str, spans: Sequence[tuple[int, int]], words: Sequence[str]) -> str:
    """Puts the words back into the text, everything between them as it was."""
    parts, end = [], 0
    for (start, next_end), word in zip(spans, words, strict=True):
        parts += [text[end:start], word]
        end = next_end
    return "".join([*parts, text[end:]])


def _one_edit(word: str, random: np.random.Generator) -> str:
    """One error behind the first letter; where the drawn one is impossible, a letter is doubled."""
    kind = ("beside", "left out", "swapped", "put in")[int(random.integers(4))]
    place = int(random.integers(1, len(word))) if len(word) > 1 else 0
    letter, after = word[place], word[place + 1 : place + 2]
    if kind == "left out" and place:
        return word[:place] + word[place + 1 :]
    if kind == "swapped" and place and after not in ("", letter):
        return word[:place] + after + letter + word[place + 2 :]
    near = _near(letter)
    if kind == "beside" and place and near:
        return word[:place] + near[int(random.integers(len(near)))] + word[place + 1 :]
    choices = letter + near
    return word[: place + 1] + choices[int(random.integers(len(choices)))] + word[place + 1 :]


def _near(letter: str) -> str:
    near = NEIGHBOURS.get(letter.lower(), "")
    return near.upper() if letter.isupper() else near
