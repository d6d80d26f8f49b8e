"""Corpora that grow, and products with several pictures."""

from __future__ import annotations

import numpy as np

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.ranking import best, recall
from benchmarks.experiments.measures.subject import FITS, Subject
from benchmarks.experiments.shop import distractors
from catalog.pictures import decode_catalogue

__all__ = ["growth", "order_of_views"]


def growth(subject: Subject) -> Findings:
    """R@10 as products of another shop join the corpus.

    A distractor may well fit a query: it is counted as wrong all the same, for every arm alike, so only
    the differences between arms mean something.

    Returns:
        ``r10`` float[S,Q] and ``corpus`` int[S], the sizes: without distractors first.
    """
    image = subject.checkpoint.recipe.image
    more = distractors(subject.folder, max(subject.scale.distractors))
    pictures = decode_catalogue(more, image.size, image.views, "skip")
    texts = [product.indexed_text() for product in more.products]
    has_text = np.ones(len(texts), dtype=np.bool_)
    added = subject.embed(texts, pictures.pixels, has_text, pictures.has_image).fused
    own = subject.products.fused
    fits = np.pad(subject.grades == FITS, ((0, 0), (0, len(added))))
    sizes = (0, *subject.scale.distractors)
    return {
        "r10": np.stack(
            [
                recall(
                    best(subject.query_vectors, np.concatenate([own, added[:size]]), 10),
                    fits[:, : len(own) + size],
                    10,
                )
                for size in sizes
            ]
        ),
        "corpus": np.array([len(own) + size for size in sizes]),
    }


def order_of_views(subject: Subject) -> Findings:
    """How far the order of a product's pictures moves its vector: ``cosine``, the smallest there is."""
    pictures = subject.pictures
    turned = subject.embed(
        subject.texts, pictures.pixels[:, ::-1].copy(), subject.has_text, pictures.has_image[:, ::-1].copy()
    )
    return {"cosine": np.array((turned.fused * subject.products.fused).sum(axis=1).min())}
