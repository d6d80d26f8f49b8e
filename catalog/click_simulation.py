"""A click log for a catalogue that has none.

Every product is asked for by what its own attributes say (category, audience, colour,
brand, values, title), in wordings that vary, as often as shoppers would. It never looks
at evaluation queries, so what is learned from it can be measured with them.

Which of a product's facets become queries is a matter of how much they tell: a value that
describes half of the shop or a single product makes a poor query.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from catalog.catalogue import Catalogue
from catalog.facets import Facets, facets_of, free_text_keys
from catalog.phrasings import Intent, phrasings_of, singular
from catalog.schema import Click, Product
from faults import InvalidInput

__all__ = ["simulate_clicks"]

# How shoppers' queries divide over the kinds of intent, where a product offers all kinds.
_SHARES = {
    "category": 0.20,
    "colour": 0.30,
    "value": 0.25,
    "value+category": 0.13,
    "brand": 0.04,
    "title": 0.08,
}
_NOISE = 0.03
_TOO_COMMON = 0.4
_LONE = {1: 0.15, 2: 0.4}
_MOST_CLICKS = 300.0
_TRIES = 4

_Choices = Mapping[str, Sequence[Intent]]


def simulate_clicks(catalogue: Catalogue, seed: int, per_product: int = 20) -> list[Click]:
    """Returns clicks for every product, the same for the same catalogue and seed.

    Args:
        catalogue: only its products' own fields are read.
        seed: of all choices.
        per_product: distinct queries wanted for each product; one with few attributes gets fewer. Of the
            wordings that fit a product, those it is not clicked for pass for negatives in training: too
            few queries teach towers to keep apart what belongs together.

    Returns:
        One row for each distinct (query, product), ordered by query; about 3 % are stray clicks on
        another product of the category. Clicks per query follow a log-uniform law.

    Raises:
        InvalidInput: ``per_product`` below 1.
    """
    if per_product < 1:
        raise InvalidInput("must be positive.", field="per_product", value=per_product, fix="Give 1 or more.")
    products = catalogue.products
    skipped = free_text_keys(products)
    facets = [facets_of(product, skipped) for product in products]
    choices = [_intents(one) for one in facets]
    support = Counter(intent for kinds in choices for intents in kinds.values() for intent in intents)
    simulation = _Simulation(random.Random(seed), support, len(products))
    pairs: dict[tuple[str, str], int] = {}
    for product, kinds in zip(products, choices, strict=True):
        for query, clicks in simulation.queries(kinds, per_product):
            pairs[query, product.product_id] = clicks
    _add_noise(pairs, products, facets, simulation.random)
    return [
        Click(query, product_id, clicks, _impressions(clicks, simulation.random))
        for (query, product_id), clicks in sorted(pairs.items())
    ]


class _Simulation:
    """Chooses intents and wordings; remembers how popular each intent is."""

    def __init__(self, source: random.Random, support: Counter[Intent], products: int) -> None:
        self.random = source
        self._support = support
        self._products = products
        self._wordings: dict[Intent, tuple[list[str], list[float]]] = {}
        self._popularity: dict[Intent, float] = {}

    def queries(self, kinds: _Choices, wanted: int) -> Iterator[tuple[str, int]]:
        """Yields up to ``wanted`` distinct queries of one product with their clicks."""
        weighed = {kind: self._weighed(kind, intents) for kind, intents in kinds.items()}
        usable = {kind: weights for kind, weights in weighed.items() if weights and weights[-1] > 0}
        if not usable:
            return
        shares = list(accumulate(_SHARES[kind] for kind in usable))
        seen: set[str] = set()
        for _ in range(wanted * _TRIES):
            kind = self.random.choices(list(usable), cum_weights=shares)[0]
            intent = self.random.choices(kinds[kind], cum_weights=usable[kind])[0]
            query, share = self._wording(intent)
            if query in seen:
                continue
            seen.add(query)
            yield query, self._clicks(intent, share)
            if len(seen) == wanted:
                return

    def _weighed(self, kind: str, intents: Sequence[Intent]) -> list[float]:
        if kind == "title":  # a title is its product's own: being rare is no fault
            return list(accumulate(1.0 for _ in intents))
        return list(accumulate(self._informativeness(intent) for intent in intents))

    def _informativeness(self, intent: Intent) -> float:
        count = self._support[intent]
        share = count / self._products
        # What nearly everything has is no wish, not even beside a category ("washable jacket").
        value_share = self._support[Intent(value=intent.value)] / self._products
        if max(share, value_share) > _TOO_COMMON and self._products > 1:
            return 0.0
        return _LONE.get(count, 1.0) * min(1.0, 0.2 + math.log10(1.0 / share))

    def _wording(self, intent: Intent) -> tuple[str, float]:
        """Picks a wording by Zipf's law; each intent has its own favourites."""
        if intent not in self._wordings:
            wordings = list(phrasings_of(intent))
            self.random.shuffle(wordings)
            shares = [1.0 / rank for rank in range(1, len(wordings) + 1)]
            self._wordings[intent] = (wordings, shares)
        wordings, shares = self._wordings[intent]
        place = self.random.choices(range(len(wordings)), weights=shares)[0]
        return wordings[place], shares[place]

    def _clicks(self, intent: Intent, share: float) -> int:
        if intent not in self._popularity:
            self._popularity[intent] = math.exp(self.random.uniform(0.0, math.log(_MOST_CLICKS)))
        liking = self.random.uniform(0.3, 1.0)  # of this product among those that fit
        return max(1, round(self._popularity[intent] * share * liking))


def _intents(facets: Facets) -> dict[str, list[Intent]]:
    """Returns what may be asked about one product, by kind."""
    noun, audience = facets.noun, facets.audience
    kinds: dict[str, list[Intent]] = {kind: [] for kind in _SHARES}
    # "orange bell pepper peppers" is nothing that a shopper would type.
    core = singular(noun).rpartition(" ")[2]
    beside_noun = [value for value in facets.values if core not in value and value not in noun]
    if noun:
        kinds["category"] = [Intent(noun=noun)]
        kinds["category"] += [Intent(noun=group, audience=audience) for group in facets.groups]
        kinds["colour"] = [Intent(noun=noun, colour=colour) for colour in facets.colours]
        kinds["value+category"] = [Intent(noun=noun, value=value) for value in beside_noun]
        if facets.brand:
            kinds["brand"] = [Intent(noun=noun, brand=facets.brand)]
    if noun and audience:
        kinds["category"] += [Intent(noun=noun, audience=audience)] * 3
        kinds["colour"] += [Intent(noun=noun, audience=audience, colour=c) for c in facets.colours] * 2
        kinds["value+category"] += [Intent(noun=noun, audience=audience, value=v) for v in beside_noun]
    kinds["value"] = [Intent(value=value) for value in facets.values]
    kinds["title"] = [Intent(words=words) for words in facets.titles]
    return kinds


def _add_noise(
    pairs: dict[tuple[str, str], int],
    products: Sequence[Product],
    facets: Sequence[Facets],
    source: random.Random,
) -> None:
    """Adds stray clicks: a query's shopper tried another article of the same category."""
    noun_of = {product.product_id: one.noun for product, one in zip(products, facets, strict=True)}
    shelves: dict[str, list[str]] = {}
    for product_id, noun in noun_of.items():
        shelves.setdefault(noun, []).append(product_id)
    for query, product_id in list(pairs):
        if source.random() < _NOISE:
            stray = source.choice(shelves[noun_of[product_id]])
            pairs.setdefault((query, stray), 1)


def _impressions(clicks: int, source: random.Random) -> int:
    return math.ceil(clicks / source.uniform(0.04, 0.4))
