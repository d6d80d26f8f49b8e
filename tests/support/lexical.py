"""A full-text index of any texts, and BM25+ computed over them the slow way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval_gateway.channels.analysis import analyse
from retrieval_gateway.channels.lexical import LexicalIndex
from retrieval_gateway.channels.lexical_files import write_lexical_files
from retrieval_gateway.channels.scoring import TITLE_WEIGHT, WORTH
from retrieval_gateway.channels.types import Ranking

Texts = Sequence[tuple[str, str]]

K1, B = 1.2, 0.75


def lexical_index(
    folder: Path, texts: Texts, writer_bytes: int = 20_000_000, name: str = "lexical"
) -> LexicalIndex:
    """Writes an index in a new folder in ``folder`` and opens it."""
    write_lexical_files(folder / name, texts, writer_bytes)
    return LexicalIndex.open(folder / name)


def slow_scores(texts: Texts, stems: Sequence[str]) -> np.ndarray:
    """BM25+ of every text for words that are there, float64[n]: the published formulas, field by field.

    Exact for fields of at most 40 words: longer ones are stored with a rounded length.
    """
    fields = [[analyse(text[place]) for text in texts] for place in (0, 1)]
    scores = np.zeros(len(texts))
    for stem in stems:
        having = []
        for words, weight in zip(fields, (TITLE_WEIGHT, 1.0), strict=True):
            counts = np.array([field.count(stem) for field in words])
            lengths = np.array([len(field) for field in words])
            having.append(counts > 0)
            norm = K1 * (1 - B + B * lengths / max(lengths.mean(), 1e-9))
            scores += weight * idf(counts, len(texts)) * (K1 + 1) * counts / (counts + norm)
        worth = max(having, key=np.count_nonzero)
        scores += WORTH * idf(worth, len(texts)) * (having[0] | having[1])
    return scores


def idf(counts: np.ndarray, products: int) -> float:
    having = np.count_nonzero(counts)
    return math.log(1 + (products - having + 0.5) / (having + 0.5))


def slow_ranking(texts: Texts, stems: Sequence[str], k: int, allowed: np.ndarray | None = None) -> Ranking:
    """The k best of all texts: by falling score, then by rising row."""
    scores = slow_scores(texts, stems)
    rows = np.flatnonzero((scores > 0) if allowed is None else (scores > 0) & allowed)
    order = rows[np.lexsort((rows, -scores[rows].astype(np.float32)))][:k]
    return Ranking(order, scores[order].astype(np.float32))
