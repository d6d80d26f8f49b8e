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
    queries: Tensor,
    products: Tensor,
    target: Tensor,
    known: Tensor,
    scale: float,
    margin: float = 0.0,
    further: Tensor | None = None,
) -> Tensor:
    """Symmetric cross-entropy: each query must find its product, each product its queries.

    Args:
        queries: float32[Q,dim], L2-normalised.
        products: float32[P,dim], L2-normalised.
        target: int64[Q]; the row of the product clicked for each query.
        known: bool[Q,P]; true where a product is known to fit a query, its target included.
        scale: inverse temperature.
        margin: taken off the cosine of each query and its own product: AM-Softmax, which MAKE's
            ancestor found better than softmax; its values are not published.
        further: float32[Q,M] cosines of further negatives of each query; -inf where it is none.

    Returns:
        The mean loss, float32 scalar.
    """
    own = torch.arange(len(queries), device=queries.device)
    cosines = queries @ products.T
    cosines[own, target] -= margin
    scores = scale * cosines
    other_positive = known.clone()
    other_positive[own, target] = False
    to_each = scores.masked_fill(other_positive, float("-inf"))
    if further is not None:
        to_each = torch.cat([to_each, scale * further], dim=1)
    to_products = F.cross_entropy(to_each, target)
    # Row i is query i's product against all queries; the other queries that it fits are left out.
    itself = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    from_products = scores[:, target].T.masked_fill(known[:, target].T & ~itself, float("-inf"))
    return (to_products + F.cross_entropy(from_products, own)) / 2


def modality_terms(
    queries: Tensor,
    products: ProductViews,
    has_text: Tensor,
    has_image: Tensor,
    target: Tensor,
    known: Tensor,
    scale: float,
    margin: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The same loss for the products' text alone and for their pictures alone.

    These terms keep each modality meaningful by itself, so that a product without a picture, or a
    picture without words, still lands in the right place.

    Args:
        queries: float32[Q,dim].
        products: the product tower's views of P products.
        has_text: bool[P].
        has_image: bool[P].
        target: int64[Q], see ``in_batch_softmax``.
        known: bool[Q,P], see ``in_batch_softmax``.
        scale: inverse temperature.
        margin: see ``in_batch_softmax``.

    Returns:
        Query to text and query to image, unweighted; 0 where fewer than two products have the modality.
    """

    def alone(vectors: Tensor, present: Tensor) -> Tensor:
        if int(present.sum()) < 2:
            return vectors.new_zeros(())
        asking = present[target]
        place = present.cumsum(0) - 1  # where a product stands among those that have the modality
        return in_batch_softmax(
            queries[asking],
            vectors[present],
            place[target[asking]],
            known[asking][:, present],
            scale,
            margin,
        )

    return alone(products.text, has_text), alone(products.image, has_image)
