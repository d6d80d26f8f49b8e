"""A picture and words in one query: the picture's article in the words' colour."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.ranking import recall
from benchmarks.experiments.measures.subject import Subject, Views
from catalog.sample_shop.styles import Offer
from catalog.sample_shop.vocabulary import COLOURS
from evaluation.composed import composed

__all__ = ["SHARES", "compose", "transfer"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the picture, in the mixture."""


def compose(subject: Subject) -> Findings:
    """A product's picture with the name of another colour: same article, pattern and shape in that colour.

    Returns, with Q such queries that have an answer: ``image``, ``words``, ``joint`` and ``arithmetic``
    float[Q], R@10 by picture alone, words alone, both through the product tower, and the even mixture of
    the two vectors; ``coloured`` float[5,Q], the share of the first ten that has the words' colour, by
    the picture's share of the mixture (``SHARES``).
    """
    asked, colours = _changes(subject)
    offers = subject.shop.offers
    right = np.array(
        [
            [_answers(offers[row], colour, one) for one in offers]
            for row, colour in zip(asked, colours, strict=True)
        ]
    )
    of_colour = np.array([[one.color == colour for one in offers] for colour in colours])
    words = [COLOURS[colour][1][0] for colour in colours]
    views = _embedded(subject, words, asked)

    def top(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        scores = vectors @ subject.products.fused.T
        scores[np.arange(len(asked)), asked] = -np.inf  # nobody is shown what he came with
        order: npt.NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        return order

    mixtures = [top(composed(views.image, views.text, share)) for share in SHARES]
    return {
        "image": recall(mixtures[-1], right, 10),
        "words": recall(mixtures[0], right, 10),
        "joint": recall(top(views.fused), right, 10),
        "arithmetic": recall(mixtures[len(SHARES) // 2], right, 10),
        "coloured": np.stack([np.take_along_axis(of_colour, one, axis=1).mean(axis=1) for one in mixtures]),
    }


def transfer(subject: Subject) -> Findings:
    """The colour in a product's words is exchanged, its picture stays.

    Returns, with Q products whose title names their colour: ``coloured`` float[2,Q], the share of the ten
    nearest that has the new colour, before and after; ``article`` float[2,Q], the share of the same article.
    """
    offers = subject.shop.offers
    asked, colours, texts = [], [], []
    for row, colour in zip(*_changes(subject), strict=True):
        text = _recoloured(subject.texts[row], offers[row], colour)
        if text != subject.texts[row]:
            asked.append(row)
            colours.append(colour)
            texts.append(text)
    if not asked:
        return {"coloured": np.zeros((2, 0)), "article": np.zeros((2, 0))}
    of_colour = np.array([[one.color == colour for one in offers] for colour in colours])
    of_article = np.array(
        [[one.style.article is offers[row].style.article for one in offers] for row in asked]
    )
    near = []
    for words in ([subject.texts[row] for row in asked], texts):
        scores = _embedded(subject, words, asked).fused @ subject.products.fused.T
        scores[np.arange(len(asked)), asked] = -np.inf
        near.append(np.argsort(-scores, axis=1, kind="stable")[:, :10])
    return {
        "coloured": np.stack([np.take_along_axis(of_colour, rows, axis=1).mean(axis=1) for rows in near]),
        "article": np.stack([np.take_along_axis(of_article, rows, axis=1).mean(axis=1) for rows in near]),
    }


def _changes(subject: Subject) -> tuple[list[int], list[str]]:
    """Products with a colour and a picture, and for each another colour that its like is sold in."""
    offers = subject.shop.offers
    source = random.Random(f"{subject.shop.seed}:composed")
    sold: dict[tuple[str, str, str], set[str]] = {}
    for offer in offers:
        if offer.color:
            sold.setdefault(_like(offer), set()).add(offer.color)
    asked, colours = [], []
    for row, offer in enumerate(offers):
        others = sorted(sold.get(_like(offer), set()) - {offer.color})
        if offer.color and others and subject.pictures.has_image[row].any():
            asked.append(row)
            colours.append(source.choice(others))
    return asked, colours


def _like(offer: Offer) -> tuple[str, str, str]:
    return (offer.style.article.name, offer.style.pattern, offer.style.shape)


def _answers(trigger: Offer, colour: str, candidate: Offer) -> bool:
    return candidate.color == colour and _like(candidate) == _like(trigger)


def _embedded(subject: Subject, texts: Sequence[str], rows: Sequence[int]) -> Views:
    """The pictures of some products with other words."""
    pictures = subject.pictures
    return subject.embed(
        texts, pictures.pixels[rows], np.ones(len(rows), dtype=np.bool_), pictures.has_image[rows]
    )


def _recoloured(text: str, offer: Offer, colour: str) -> str:
    for word in COLOURS[offer.color][1]:
        text = re.sub(rf"\b{word}\b", COLOURS[colour][1][0], text, flags=re.IGNORECASE)
    return text
