"""How the catalogue room says what is wrong: counted, with a few examples, never line by line.

A catalogue with one wrong column has as many errors as rows. The reader of the message
needs the number, a handful of ids to look at, and what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence

from faults import CatalogueError

__all__ = ["MOST_EXAMPLES", "complaint", "examples_of", "refuse_if_any", "refuse_unknown", "repeats"]

MOST_EXAMPLES = 5


def examples_of(items: Iterable[object]) -> str:
    """Returns up to five items, quoted and comma separated, with an ellipsis where there are more."""
    shown: list[str] = []
    for item in items:
        if len(shown) == MOST_EXAMPLES:
            return ", ".join(shown) + ", …"
        shown.append(repr(item) if isinstance(item, str) else str(item))
    return ", ".join(shown)


def complaint(problem: str, *, where: str, fix: str, value: object = None) -> CatalogueError:
    """Builds the error; ``where`` is the file, or the file and its column."""
    return CatalogueError(problem, field=where, value=value, fix=fix)


def refuse_if_any(wrong: Sequence[object], *, what: str, where: str, fix: str) -> None:
    """Raises CatalogueError with the count and examples if ``wrong`` is not empty."""
    if wrong:
        raise complaint(f"{len(wrong)} {what}: {examples_of(wrong)}.", where=where, fix=fix)


def repeats(names: Iterable[str]) -> list[str]:
    """Returns each name that occurs more than once, in the order in which they were met."""
    counts = Counter(names)
    return [name for name, count in counts.items() if count > 1]


def refuse_unknown(names: Iterable[str], known: Container[str], *, what: str, where: str, fix: str) -> None:
    """Raises CatalogueError if any of ``names`` is not among ``known``; counts distinct names and rows."""
    missing = Counter(name for name in names if name not in known)
    if missing:
        raise complaint(
            f"{len(missing)} {what} (in {missing.total()} rows): {examples_of(missing)}.",
            where=where,
            fix=fix,
        )
