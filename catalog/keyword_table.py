"""The keywords of a query: words of the titles that were clicked for it, looked up, never computed.

Queries are brief and titles are long: a few words from the titles tell the query tower more of what
is meant. MAKE's abstract (arXiv 2301.12646) names this Keyword Enhancement; how its keywords are found
and given to the encoder is not published, and this is our proposal [DESIGN]. They are mined offline
(``towers.data.keywords``). The table stands here, on the ground floor, because training and
serving must look up and append them alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

from catalog.text import normalise_text
from faults import InvalidInput, Mismatch

__all__ = ["FORMAT", "KeywordTable", "jaccard"]

FORMAT = 1
"""Of the serialised table; raise it when its meaning changes."""

_FIX = "Take the keywords.json that belongs to these towers, unchanged, or train them again."


@dataclass(frozen=True)
class KeywordTable:
    """Keywords by query, which it never changes; safe to share between threads.

    Args:
        keywords: by query, which is normalised here; the best keyword first. Queries without any
            are left out.

    Raises:
        InvalidInput: a keyword is blank or not normalised, or two queries normalise alike.
    """

    keywords: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        table: dict[str, tuple[str, ...]] = {}
        for query, words in self.keywords.items():
            key = normalise_text(query)
            if key in table:
                raise InvalidInput(
                    "two queries normalise alike.", field="keywords", value=key, fix="Give each query once."
                )
            for word in words:
                _check_word(key, word)
            if words:
                table[key] = tuple(words)
        object.__setattr__(self, "keywords", MappingProxyType(table))

    def __len__(self) -> int:
        """Number of queries that have keywords."""
        return len(self.keywords)

    def of(self, query: str) -> tuple[str, ...]:
        """Returns the query's keywords, the best first; none for a query that was never clicked."""
        return self.keywords.get(normalise_text(query), ())

    @staticmethod
    def enrich(query: str, keywords: Sequence[str]) -> str:
        """Returns the text that the query tower reads; the one place that says how keywords join it.

        They follow the query, after a comma, so that too long a text loses keywords and not what
        was typed, and so that the tower can tell one from the other.
        """
        return f"{query}, {' '.join(keywords)}" if keywords else query

    def to_json(self) -> bytes:
        """Returns the table as UTF-8 JSON; equal tables give equal bytes."""
        ordered = {query: list(self.keywords[query]) for query in sorted(self.keywords)}
        text = json.dumps({"format": FORMAT, "keywords": ordered}, ensure_ascii=False, indent=0)
        return text.encode("utf-8") + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> KeywordTable:
        """Reads what ``to_json`` wrote.

        Raises:
            InvalidInput: damaged, or no keyword table.
            Mismatch: of another format.
        """
        try:
            content = json.loads(data.decode("utf-8"))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"no JSON: {error}.", field="keyword table", fix=_FIX) from error
        if not isinstance(content, dict) or "format" not in content:
            raise _damaged("it has no format number.", content)
        if content["format"] != FORMAT:
            # First: in another format the other fields may mean something else.
            raise Mismatch("keyword table format", expected=FORMAT, found=content["format"], fix=_FIX)
        keywords = content.get("keywords")
        if not isinstance(keywords, dict):
            raise _damaged("keywords must be a table of queries.", keywords)
        for query, words in keywords.items():
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise _damaged(f"the keywords of {query!r} must be a list of words.", words)
        return cls({query: tuple(words) for query, words in keywords.items()})


def jaccard(one: Set[str], other: Set[str]) -> float:
    """Returns the share of the words of either set that both have; 0 where both are empty."""
    either = len(one | other)
    return len(one & other) / either if either else 0.0


def _check_word(query: str, word: str) -> None:
    if not word or normalise_text(word) != word:
        raise InvalidInput(
            f"a keyword of {query!r} is blank or not normalised.", field="keywords", value=word, fix=_FIX
        )


def _damaged(problem: str, value: object) -> InvalidInput:
    return InvalidInput(problem, field="keyword table", value=value, fix=_FIX)
