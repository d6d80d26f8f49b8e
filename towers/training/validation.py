"""What is measured while towers train: are clicked products found again?

Some clicked pairs, at most one a product, are looked up among a sample of the training's own products.
They may be set aside: then no batch draws them, and the figure says what the towers make of clicks
that they have not seen. A set-aside pair is no negative either, for ``Examples.clicked`` still knows it.
(Keywords are mined before, from the whole log.) Judgements of an evaluation are never looked at.

Measuring leaves no trace in the training: no draw from torch's generator, no BatchNorm that moves, no
module in another mode than before.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from faults import InvalidInput
from towers.build import Towers
from towers.data.examples import Examples
from towers.embedding import product_vectors, query_vectors

_DEPTH = 10
_STREAM = 0x7A1D
"""Keeps the choice of pairs apart from everything else that is drawn from a recipe's seed."""


@dataclass(frozen=True)
class Validation:
    """What is measured along the way, and how often."""

    every: int = 0
    """Steps from one measuring to the next; 0: only after the last step, when it is done in any case."""
    set_aside: int = 0
    """Clicked pairs that are kept from the training, to be measured; 0: pairs that it learns, too."""
    learned: int = 200
    """Pairs to measure where none are set aside."""
    products: int = 1000
    """Products among which they are looked up; all where there are fewer."""
    say: Callable[[int, Mapping[str, float]], None] = field(default=lambda _step, _values: None)
    """Hears the step and what was measured after it."""


@dataclass(frozen=True)
class Pairs:
    """Clicked pairs, and the products among which the clicked one is to be found."""

    queries: npt.NDArray[np.int64]
    """Places in ``Examples.queries``."""
    targets: npt.NDArray[np.int64]
    """Catalogue rows, one for each query."""
    rows: npt.NDArray[np.int64]
    """Catalogue rows that are searched, rising; the targets are among them."""
    set_aside: bool

    @property
    def description(self) -> str:
        """Says what a figure over these pairs means."""
        kind = "set-aside" if self.set_aside else "trained"
        return f"of {len(self.queries)} {kind} pairs among {len(self.rows):,} products"


def choose_pairs(examples: Examples, validation: Validation, seed: int) -> Pairs:
    """Draws pairs, at most one a product, and products to search; the same seed draws the same ones.

    Raises:
        InvalidInput: pairs are to be set aside, and no product has another query to be learned by.
    """
    random = np.random.default_rng([seed, _STREAM])
    aside = validation.set_aside > 0
    able = [row for row in sorted(examples.asked) if not aside or len(examples.asked[row][0]) > 1]
    if not able:
        raise InvalidInput(
            "no product was clicked for two queries, so no pair can be spared",
            field="--set-aside",
            value=validation.set_aside,
            fix="Train without setting pairs aside.",
        )
    wanted = validation.set_aside if aside else validation.learned
    targets = random.permutation(np.array(able, dtype=np.int64))[:wanted]
    queries = [random.choice(examples.asked[row][0]) for row in targets.tolist()]
    others = np.setdiff1d(np.arange(len(examples.product_tokens)), targets)
    more = max(0, min(validation.products - len(targets), len(others)))
    rows = np.concatenate([targets, random.choice(others, more, replace=False)])
    return Pairs(np.array(queries, dtype=np.int64), targets, np.sort(rows), aside)


def without(examples: Examples, pairs: Pairs) -> Examples:
    """Returns the examples without drawing ``pairs``; unchanged where they are not set aside."""
    if not pairs.set_aside:
        return examples
    asked = dict(examples.asked)
    for row, query in zip(pairs.targets.tolist(), pairs.queries.tolist(), strict=True):
        queries, chances = asked[row]
        stays = queries != query
        asked[row] = (queries[stays], chances[stays] / chances[stays].sum())
    return replace(examples, asked=asked, pairs=examples.pairs - len(pairs.queries))


def measure(towers: Towers, examples: Examples, pairs: Pairs) -> dict[str, float]:
    """Returns R@10 and nDCG@10 of the fused vectors, in [0, 1].

    Other products that were clicked for a query are taken out of its list: they are right as well. A
    product that ties with the right one counts as ranked before it.
    """
    with _untouched(towers):
        # Queries read their keywords, as they do in serving.
        read = examples.query_tokens if examples.keywords is None else examples.keywords.tokens
        queries = query_vectors(towers, [read[query] for query in pairs.queries.tolist()])
        products = product_vectors(towers, examples, pairs.rows)
    scores = queries @ products.T
    target = torch.from_numpy(np.searchsorted(pairs.rows, pairs.targets))[:, None]
    others = examples.known(pairs.queries, pairs.rows).scatter(1, target, value=False)
    own = scores.gather(1, target)
    before = ((scores >= own) & ~others).scatter(1, target, value=False)
    found = [1 + rank for rank in before.sum(dim=1).tolist() if rank < _DEPTH]
    count = len(pairs.queries)
    return {
        f"R@{_DEPTH} {pairs.description}": len(found) / count,
        f"nDCG@{_DEPTH} of the same": sum(1 / math.log2(1 + rank) for rank in found) / count,
    }


@contextlib.contextmanager
def _untouched(towers: Towers) -> Iterator[None]:
    """Puts the towers into evaluation mode, and every module and torch's generator back afterwards."""
    modules = [module for whole in towers.modules() for module in whole.modules()]
    before = [module.training for module in modules]
    towers.train(False)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.training = mode
