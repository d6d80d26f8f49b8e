"""The losses of same-style products: pure functions of cosine matrices.

System D ("eSSPR", arXiv 2302.05093) pulls three views of a product (all of it, its words alone, its
picture alone) to the whole of a product of the same style. Its authors publish the formulas of PPM,
PDC and LC in their own repository; they are restated here in our own code. Margins and weights are
not published: the defaults in the recipe are ours [DESIGN]. So is leaving known positives out: two
products of one style in a batch are no negatives of each other.

In all of them row i of a matrix of cosines is trigger i, the diagonal is the pair that belongs
together, and B is the size of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pair_hinge(cosines: Tensor, margin: float, known: Tensor, asking: Tensor) -> Tensor:
    """Pulls each trigger's own candidate ahead of all others, by a margin.

    With the cosines of a trigger's view to the right product's full view it is PPM; with those of a
    masked view to the full views of the same triggers it is PDC (a part must find its own whole):

        (1/B) sum_j max(0, s_ij - s_ii + margin)    over j that are not known to fit i

    Args:
        cosines: float32[B,B].
        margin: by how much.
        known: bool[B,B]; candidate j fits trigger i, so it is no negative. The diagonal may be either.
        asking: bool[B]; triggers that have the view at all.

    Returns:
        The mean over the asking triggers, float32 scalar; 0 where none asks.
    """
    excess = F.relu(cosines - cosines.diagonal()[:, None] + margin)
    return _mean(excess.masked_fill(known | _own(cosines), 0.0).mean(dim=1), asking)


def locality_consistency(
    full: Tensor, masked: Tensor, margin: float, asking: Tensor, neighbours: int = 10
) -> Tensor:
    """Keeps a masked view in the neighbourhood of its full view (LC).

        (1/10) sum over the 10 candidates nearest to the full view of max(0, (s_ij - s~_ij)^2 - margin)

    Args:
        full: float32[B,B], cosines of the triggers' full views to the right products' full views.
        masked: float32[B,B], those of a masked view to the same.
        margin: squared difference that is let pass.
        asking: bool[B]; triggers that have the masked view at all.
        neighbours: how many; all candidates where a batch has fewer.

    Returns:
        The mean over the asking triggers, float32 scalar; 0 where none asks.
    """
    nearest = full.detach().topk(min(neighbours, full.shape[1]), dim=1).indices
    difference = full.gather(1, nearest) - masked.gather(1, nearest)
    return _mean(F.relu(difference.square() - margin).mean(dim=1), asking)


def symmetric_softmax(cosines: Tensor, scale: float, known: Tensor, asking: Tensor) -> Tensor:
    """The alternative to the hinge of PPM: a softmax over the batch, in both directions.

    Que2Search (KDD'21) found the symmetric form to help two towers of documents; which of the two
    same-style products gain from is an experiment.

    Args:
        cosines: float32[B,B].
        scale: inverse temperature.
        known: bool[B,B], see ``pair_hinge``.
        asking: bool[B]; triggers that have the view at all. The others are no negatives either.

    Returns:
        The mean over the asking triggers, float32 scalar; 0 where none asks.
    """
    own = torch.arange(len(cosines), device=cosines.device)
    rivals = (scale * cosines).masked_fill(known & ~_own(cosines), float("-inf"))
    forth = F.cross_entropy(rivals, own, reduction="none")
    # A row that asks nothing keeps its own pair, so that no column is empty.
    silent = ~asking[:, None] & ~_own(cosines)
    back = F.cross_entropy(rivals.masked_fill(silent, float("-inf")).T, own, reduction="none")
    return _mean((forth + back) / 2, asking)


def _own(cosines: Tensor) -> Tensor:
    return torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)


def _mean(values: Tensor, asking: Tensor) -> Tensor:
    """Mean of float[B] over the rows of bool[B]; 0 where there is none."""
    return values.masked_fill(~asking, 0.0).sum() / asking.sum().clamp(min=1)
