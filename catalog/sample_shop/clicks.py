"""The click log of the sample shop, and the co-clicks between offers of one style."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations

from catalog.sample_shop.intents import WORDINGS, Want, deciding_modality, phrase, wants_of
from catalog.sample_shop.styles import Offer
from catalog.schema import Click, CoClick

__all__ = ["make_clicks", "make_coclicks"]

_QUERIES_A_PRODUCT = 14
_WORDINGS_A_WANT = 6
_NOISE = 0.03
_ZIPF = 1.1  # of Pareto's law: the exponent of the ranks is about 1 / 1.1
_MOST_CLICKS = 5000


def make_clicks(offers: Sequence[Offer], seed: int) -> list[Click]:
    """Returns one row for each distinct (query, product), ordered by query.

    About 3 % are stray clicks within the category; the article alone led to them, which picture and
    title both show, so their deciding modality is ``both``.
    """
    source = random.Random(f"{seed}:clicks")
    log = _Log(source)
    for offer in offers:
        log.add(offer)
    log.add_noise(offers)
    return log.rows()


class _Log:
    """Collects clicks; each want has its own popularity and favourite wordings."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._wordings: dict[Want, list[str]] = {}
        self._popularity: dict[Want, float] = {}
        self._clicks: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, offer: Offer) -> None:
        """Adds the clicks that one product got."""
        wants, weights = zip(*wants_of(offer), strict=True)
        for want in self._random.choices(wants, weights, k=_QUERIES_A_PRODUCT):
            query, share = self._query(want)
            clicks = round(self._popular(want) * share * self._random.uniform(0.3, 1.0))
            decided = deciding_modality(want, offer)
            self._clicks.setdefault((query, offer.product_id), (max(1, clicks), decided))

    def add_noise(self, offers: Sequence[Offer]) -> None:
        """Adds stray clicks on other products of the category."""
        article_of = {offer.product_id: offer.style.article.name for offer in offers}
        shelves: dict[str, list[str]] = {}
        for product_id, article in article_of.items():
            shelves.setdefault(article, []).append(product_id)
        for query, product_id in list(self._clicks):
            if self._random.random() < _NOISE:
                stray = self._random.choice(shelves[article_of[product_id]])
                self._clicks.setdefault((query, stray), (1, "both"))

    def rows(self) -> list[Click]:
        """Returns the log, each click among the impressions that led to it."""
        return [
            Click(query, product_id, clicks, math.ceil(clicks / self._random.uniform(0.04, 0.4)), decided)
            for (query, product_id), (clicks, decided) in sorted(self._clicks.items())
        ]

    def _query(self, want: Want) -> tuple[str, float]:
        if want not in self._wordings:
            draws = (
                phrase(want, self._random.choice(WORDINGS[want.kind]), self._random)
                for _ in range(_WORDINGS_A_WANT)
            )
            self._wordings[want] = list(dict.fromkeys(draws))
        wordings = self._wordings[want]
        shares = [1.0 / rank for rank in range(1, len(wordings) + 1)]
        place = self._random.choices(range(len(wordings)), shares)[0]
        return wordings[place], shares[place]

    def _popular(self, want: Want) -> float:
        if want not in self._popularity:
            self._popularity[want] = min(_MOST_CLICKS, 5.0 * self._random.paretovariate(_ZIPF))
        return self._popularity[want]


def make_coclicks(offers: Sequence[Offer], seed: int) -> list[CoClick]:
    """Returns co-clicks in both directions: many between suppliers of one version, some across a style."""
    source = random.Random(f"{seed}:coclicks")
    groups: dict[str, list[Offer]] = {}
    for offer in offers:
        groups.setdefault(offer.style.group, []).append(offer)
    rows: list[CoClick] = []
    for group in groups.values():
        for one, other in combinations(group, 2):
            same = one.version == other.version
            if source.random() < (0.95 if same else 0.35):
                most = 40 if same else 8
                rows.append(CoClick(one.product_id, other.product_id, source.randint(1, most)))
                rows.append(CoClick(other.product_id, one.product_id, source.randint(1, most)))
    return sorted(rows, key=lambda row: (row.trigger_id, row.clicked_id))
