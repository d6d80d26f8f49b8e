"""Same-style pairs from what shoppers clicked one after the other, and batches of them.

System D ("eSSPR", arXiv 2302.05093) says in its abstract that its positives come from click logs,
constrained by category and by relevance. Its thresholds are not published: how relevance is
measured here, the least number of clicks and the order of the constraints are ours [DESIGN].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.catalogue import Catalogue
from catalog.schema import CoClick, Product
from catalog.text import normalise_text
from faults import CatalogueError
from towers.stage_recipes import PairConstraints

_NAMED_EXAMPLES = 5

Pair = tuple[int, int]
"""Two catalogue rows, the smaller first."""


@dataclass(frozen=True)
class PairCounts:
    """What became of the pairs of a co-click log. Each dropped pair counts once, at what dropped it first."""

    logged: int
    """Distinct unordered pairs with a click."""
    other_category: int
    irrelevant: int
    too_few_clicks: int
    kept: int


@dataclass(frozen=True)
class Pairs:
    """Pairs of products taken for the same style.

    Args:
        partners: for each catalogue row that has any, its partners' rows and their chances to be
            drawn (which sum to 1).
        alike: for each catalogue row, the rows that are no negatives for it: itself, its partners,
            what was dropped for too few clicks only, and, if asked for, its style group.
        pairs: int64[P,2], the kept pairs, the smaller row first, in rising order.
        counts: how they came about.
    """

    partners: Mapping[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]
    alike: tuple[frozenset[int], ...]
    pairs: npt.NDArray[np.int64]
    counts: PairCounts

    def draws(
        self, size: int, steps: int, seed: Sequence[int], skip: int = 0
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Draws ``steps`` batches of pairs: int64[B] rows of triggers, int64[B] rows of their partners.

        The triggers of a batch are distinct and equally often drawn, their partners by the square
        root of the clicks; a pair is drawn from both ends. B is ``size``, or all products with a
        partner where there are fewer.

        Args:
            size: triggers of a batch.
            steps: number of batches.
            seed: of all choices.
            skip: leaves the first ones out: they are drawn, and not given.

        Raises:
            CatalogueError: there is no pair.
        """
        rows = np.array(sorted(self.partners), dtype=np.int64)
        if not len(rows):
            raise CatalogueError(
                f"none of {self.counts.logged} co-clicked pairs is left: {self.counts}",
                field="coclicks",
                fix="Loosen the constraints in the recipe's same_style stage, or give a larger log.",
            )
        random = np.random.default_rng(seed)
        for number in range(steps):
            left = random.choice(rows, size=min(size, len(rows)), replace=False)
            drawn = [random.choice(self.partners[row][0], p=self.partners[row][1]) for row in left.tolist()]
            if number >= skip:
                yield left, np.array(drawn, dtype=np.int64)

    def known(self, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Returns bool[A,B]: which of B rows are no negatives for which of A rows."""
        return np.array([[row in self.alike[asking] for row in other.tolist()] for asking in one.tolist()])


def pairs_of(
    coclicks: Sequence[CoClick],
    catalogue: Catalogue,
    constraints: PairConstraints,
    title_vectors: npt.NDArray[np.float32] | None = None,
) -> Pairs:
    """Takes the co-clicked pairs that meet the constraints.

    Clicks from one to the other and back are added up; clicks from a product to itself say nothing
    and are left out.

    Args:
        coclicks: the log.
        catalogue: N products.
        constraints: what is asked of a pair: category first, then relevance, then clicks.
        title_vectors: float[N,dim], L2-normalised, to measure relevance by; by words if absent.

    Raises:
        CatalogueError: the log names unknown products (counted, with examples).
    """
    logged = _unordered(coclicks, catalogue)
    fates: dict[str, list[Pair]] = {"category": [], "relevance": [], "clicks": [], "kept": []}
    words = [frozenset(normalise_text(product.title).split()) for product in catalogue.products]
    for pair in sorted(logged):
        one, other = pair
        similarity = (
            _shared_words(words[one], words[other])
            if title_vectors is None
            else float(title_vectors[one] @ title_vectors[other])
        )
        if not _same_category(catalogue.products[one], catalogue.products[other], constraints.category):
            fates["category"].append(pair)
        elif constraints.relevance and similarity < constraints.relevance:
            fates["relevance"].append(pair)
        elif logged[pair] < constraints.clicks:
            fates["clicks"].append(pair)
        else:
            fates["kept"].append(pair)
    counts = PairCounts(len(logged), *(len(part) for part in fates.values()))
    return Pairs(
        _partners({pair: logged[pair] for pair in fates["kept"]}),
        _alike(catalogue, [*fates["kept"], *fates["clicks"]], constraints.style_groups),
        np.array(fates["kept"], dtype=np.int64).reshape(-1, 2),
        counts,
    )


def _unordered(coclicks: Iterable[CoClick], catalogue: Catalogue) -> Counter[Pair]:
    row_of = {product_id: row for row, product_id in enumerate(catalogue.ids)}
    named = {product_id for row in coclicks for product_id in (row.trigger_id, row.clicked_id)}
    unknown = sorted(named - set(row_of))
    if unknown:
        raise CatalogueError(
            f"{len(unknown)} co-clicked products are not in the catalogue",
            field="coclicks.trigger_id, clicked_id",
            value=unknown[:_NAMED_EXAMPLES],
            fix="Give the co-click log of this catalogue, or add the products.",
        )
    logged: Counter[Pair] = Counter()
    for row in coclicks:
        one, other = sorted((row_of[row.trigger_id], row_of[row.clicked_id]))
        if one != other and row.clicks > 0:
            logged[one, other] += row.clicks
    return logged


def _same_category(one: Product, other: Product, asked: str) -> bool:
    if asked == "none":
        return True
    if not one.category or one.category != other.category:
        return False
    return asked == "category" or one.subcategory == other.subcategory


def _shared_words(one: frozenset[str], other: frozenset[str]) -> float:
    """Words in common as a share of the shorter title's: suppliers say more or less of the same thing."""
    return len(one & other) / max(1, min(len(one), len(other)))


def _partners(
    kept: Mapping[Pair, int],
) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    grouped: dict[int, list[tuple[int, float]]] = {}
    for (one, other), clicks in kept.items():
        grouped.setdefault(one, []).append((other, float(clicks) ** 0.5))
        grouped.setdefault(other, []).append((one, float(clicks) ** 0.5))
    partners = {}
    for row, found in grouped.items():
        chances = np.array([chance for _, chance in found])
        partners[row] = (np.array([other for other, _ in found], dtype=np.int64), chances / chances.sum())
    return partners


def _alike(catalogue: Catalogue, pairs: Iterable[Pair], style_groups: bool) -> tuple[frozenset[int], ...]:
    alike: list[set[int]] = [{row} for row in range(len(catalogue))]
    for one, other in pairs:
        alike[one].add(other)
        alike[other].add(one)
    groups: dict[str, list[int]] = {}
    for row, product in enumerate(catalogue.products):
        if style_groups and product.style_group:
            groups.setdefault(product.style_group, []).append(row)
    for rows in groups.values():
        for row in rows:
            alike[row].update(rows)
    return tuple(frozenset(rows) for rows in alike)
