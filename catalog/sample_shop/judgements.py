"""Evaluation queries with grades, from the attributes of the very products."""

from __future__ import annotations

import random
from collections.abc import Sequence

from catalog.sample_shop.intents import HELD_OUT_WORDINGS, WORDINGS, Want, fits, phrase, wants_of
from catalog.sample_shop.styles import Offer
from catalog.schema import EvaluationQuery, Judgement

__all__ = ["make_judgements"]

_FEWEST_A_KIND = 4
_MOST_A_KIND = 30
_PRODUCTS_A_QUERY = 40  # of each kind: 25 queries a kind for a thousand products
_FITS, _SAME_CATEGORY = 2, 1


def make_judgements(offers: Sequence[Offer], seed: int) -> tuple[list[EvaluationQuery], list[Judgement]]:
    """Returns queries of every kind and their grades; every other query in a held-out wording.

    Grade 2 = has all that is wanted; 1 = the same article without it; all others are 0 and left out.
    """
    source = random.Random(f"{seed}:judgements")
    shelves: dict[str, list[Offer]] = {}
    for offer in offers:
        shelves.setdefault(offer.style.article.name, []).append(offer)
    queries: list[EvaluationQuery] = []
    judgements: list[Judgement] = []
    taken: set[str] = set()
    for number, want in enumerate(_chosen_wants(offers, source)):
        wordings = HELD_OUT_WORDINGS if number % 2 else WORDINGS
        query = phrase(want, source.choice(wordings[want.kind]), source)
        if query in taken:  # two wants can read the same; the query would have two truths
            continue
        taken.add(query)
        query_id = f"Q{len(queries):04d}"
        queries.append(EvaluationQuery(query_id, query, want.kind))
        judgements += [
            Judgement(query_id, offer.product_id, _FITS if fits(want, offer) else _SAME_CATEGORY)
            for offer in shelves[want.article]
        ]
    return queries, judgements


def _chosen_wants(offers: Sequence[Offer], source: random.Random) -> list[Want]:
    by_kind: dict[str, dict[Want, None]] = {kind: {} for kind in WORDINGS}
    for offer in offers:
        for want, _ in wants_of(offer):
            by_kind[want.kind][want] = None
    quota = min(_MOST_A_KIND, max(_FEWEST_A_KIND, len(offers) // _PRODUCTS_A_QUERY))
    return [want for wants in by_kind.values() for want in source.sample(list(wants), min(quota, len(wants)))]
