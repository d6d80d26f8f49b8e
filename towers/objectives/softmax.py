"""The training objective: in-batch softmax between queries and the products clicked for them.

Every other product of a batch is a negative, unless the click log says that it was
clicked for the same query too: such a pair is known to be a positive and is left out
of the softmax (e-CLIP, arXiv 2207.00208, does so with catalogue duplicates).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from towers.towers import ProductViews


def in_batch_softmax(
    queries: Tensor, products: Tensor, target: Tensor, known: Tensor, scale: float
) -> Tensor:
    """Symmetric cross-entropy: each query must find its product, each product its queries.

    Args:
        queries: float32[Q,dim], L2-normalised.
        products: float32[P,dim], L2-normalised.
        target: int64[Q]; the row of the product clicked for each query.
        known: bool[Q,P]; true where a product is known to fit a query, its target included.
        scale: inverse temperature.

    Returns:
        The mean loss, float32 scalar.
    """
    own = torch.arange(len(queries), device=queries.device)
    scores = scale * queries @ products.T
    other_positive = known.clone()
    other_positive[own, target] = False
    to_products = F.cross_entropy(scores.masked_fill(other_positive, float("-inf")), target)
    # Row i is query i's product against all queries; the other queries that it fits are left out.
    from_products = scores[:, target].T.masked_fill(
        known[:, target].T & ~torch.eye(len(queries), dtype=torch.bool, device=queries.device), float("-inf")
    )
    return (to_products + F.cross_entropy(from_products, own)) / 2


def two_tower_loss(
    queries: Tensor,
    products: ProductViews,
    has_text: Tensor,
    has_image: Tensor,
    target: Tensor,
    known: Tensor,
    scale: float,
    modality_weight: float,
) -> Tensor:
    """The fused loss, plus the same loss for text alone and image alone.

    The single-modality terms keep each modality meaningful by itself, so that a product
    without a picture, or a picture without words, still lands in the right place.

    Args:
        queries: float32[Q,dim].
        products: the product tower's views of P products.
        has_text: bool[P].
        has_image: bool[P].
        target: int64[Q], see ``in_batch_softmax``.
        known: bool[Q,P], see ``in_batch_softmax``.
        scale: inverse temperature.
        modality_weight: weight of each single-modality term.
    """
    loss = in_batch_softmax(queries, products.fused, target, known, scale)
    if modality_weight == 0:
        return loss
    for vectors, present in ((products.text, has_text), (products.image, has_image)):
        if int(present.sum()) < 2:
            continue
        asking = present[target]
        place = present.cumsum(0) - 1  # where a product stands among those that have the modality
        part = in_batch_softmax(
            queries[asking], vectors[present], place[target[asking]], known[asking][:, present], scale
        )
        loss = loss + modality_weight * part
    return loss
