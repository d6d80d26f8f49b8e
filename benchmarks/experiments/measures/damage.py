"""Modalities that get worse, and modalities that are gone: what becomes of the weights and the answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.ranking import best, recall
from benchmarks.experiments.measures.subject import FITS, Subject

__all__ = ["NOISE_LEVELS", "WORDS_KEPT", "cut", "damaged", "missing", "noisy"]

NOISE_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Share of noise in the picture."""
WORDS_KEPT = (1.0, 0.5, 0.25, 0.1, 0.0)
"""Share of the words that is kept, at least one."""
_THIRDS = 3


def damaged(subject: Subject) -> Findings:
    """The image's weight as its picture drowns in noise, and as its words are cut.

    Returns, for the M products with words and a picture: ``by_noise`` float[5,M], one row a level of
    ``NOISE_LEVELS``; ``by_cut`` float[5,M], one row a share of ``WORDS_KEPT``; ``grey`` float[M], with a
    plain grey picture.
    """
    rows = np.flatnonzero(subject.has_text & subject.pictures.has_image.any(axis=1))
    texts = [subject.texts[row] for row in rows]
    pixels, there = subject.pictures.pixels[rows], subject.pictures.has_image[rows]
    everything = np.ones(len(rows), dtype=np.bool_)

    def image_weight(texts: list[str], pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return subject.embed(texts, pixels, everything, there).weights[:, 1].astype(np.float64)

    return {
        "by_noise": np.stack(
            [image_weight(texts, noisy(pixels, level, subject.shop.seed)) for level in NOISE_LEVELS]
        ),
        "by_cut": np.stack(
            [image_weight([cut(text, share) for text in texts], pixels) for share in WORDS_KEPT]
        ),
        "grey": image_weight(texts, np.full_like(pixels, 128)),
    }


def noisy(pixels: npt.NDArray[np.uint8], level: float, seed: int) -> npt.NDArray[np.uint8]:
    """Mixes pictures with uniform noise, the same noise at every level."""
    noise = np.random.default_rng(seed).integers(0, 256, pixels.shape, dtype=np.uint8)
    mixed = (1 - level) * pixels.astype(np.float32) + level * noise
    return np.rint(mixed).astype(np.uint8)


def cut(text: str, share: float) -> str:
    """Keeps the first words of a text, at least one."""
    words = text.split()
    return " ".join(words[: max(1, round(share * len(words)))])


def missing(subject: Subject) -> Findings:
    """Every third product loses its picture, every third its words; said so, or filled with zeros.

    Returns, with Q queries: ``masked`` and ``filled``, R@10 float[Q] over the products that lost something
    (NaN where a query has none), where the loss is declared, and where a black picture or an empty text is
    passed off as one; ``wrong_weights``, how many products whose missing modality got a weight other than 0.
    """
    count = len(subject.texts)
    whole = subject.has_text & subject.pictures.has_image.any(axis=1)
    no_picture = whole & (np.arange(count) % _THIRDS == 0)
    no_words = whole & (np.arange(count) % _THIRDS == 1)
    texts = ["" if gone else text for text, gone in zip(subject.texts, no_words, strict=True)]
    pixels = np.where(no_picture[:, None, None, None, None], 0, subject.pictures.pixels).astype(np.uint8)
    has_image = subject.pictures.has_image
    masked = subject.embed(texts, pixels, subject.has_text & ~no_words, has_image & ~no_picture[:, None])
    filled = subject.embed(texts, pixels, subject.has_text, has_image)
    lost = (subject.grades == FITS) & (no_picture | no_words)
    wrong = (masked.weights[no_picture, 1] != 0).sum() + (masked.weights[no_words, 0] != 0).sum()
    return {
        "masked": recall(best(subject.query_vectors, masked.fused, 10), lost, 10),
        "filled": recall(best(subject.query_vectors, filled.fused, 10), lost, 10),
        "wrong_weights": np.array(int(wrong)),
    }
