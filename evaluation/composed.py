"""Composed queries by vector arithmetic: a picture and words weighed against each other.

Rows D5 and D9 of the experiments. What a composed query should find is the caller's to say: the
shape of the picture in the colour of the words, for example.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import faults
from evaluation.same_style import Found, Vectors, found_by_score

__all__ = ["composed", "composed_sweep"]


def composed(images: Vectors, texts: Vectors, image_share: float) -> Vectors:
    """Composes queries by vector arithmetic: ``unit(a * image + (1 - a) * text)``.

    [DESIGN]: how the same-style paper composes a picture with words is not published.

    Args:
        images: float[Q,dim], L2-normalised.
        texts: float[Q,dim], L2-normalised.
        image_share: a, from 0 (words alone) to 1 (picture alone).

    Raises:
        faults.InvalidInput: a share outside [0, 1].
    """
    if not 0 <= image_share <= 1:
        raise faults.InvalidInput(
            "a share lies between 0 and 1", field="image_share", value=image_share, fix="Give 0 to 1."
        )
    mixed = image_share * images + (1 - image_share) * texts
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    result: Vectors = (mixed / np.maximum(lengths, 1e-6)).astype(np.float32)
    return result


def composed_sweep(
    images: Vectors,
    texts: Vectors,
    corpus: Vectors,
    right: NDArray[np.bool_],
    shares: Sequence[float],
    *,
    hidden: NDArray[np.bool_] | None = None,
    k: int = 10,
) -> dict[float, Found]:
    """Measures composed queries for each share of the picture.

    Args:
        images: float[Q,dim], L2-normalised.
        texts: float[Q,dim], L2-normalised.
        corpus: float[N,dim], L2-normalised.
        right: bool[Q,N]: what the composed query should find (the picture's shape in the words' colour).
        shares: of the picture, see ``composed``.
        hidden: bool[Q,N]: what a query is not shown, the picture's own product first of all.
        k: depth of ``within_k``.
    """
    return {
        share: found_by_score(composed(images, texts, share) @ corpus.T, right, hidden, k) for share in shares
    }
