"""What pair sampling takes for the same style, and whether hidden patches are recognised."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.experiments.measures.findings import Findings
from benchmarks.experiments.measures.subject import Subject
from benchmarks.experiments.shop import Shop
from towers.build import Towers
from towers.data.pairs import pairs_of
from towers.objectives.masked_patches import HEAD, patch_identification
from towers.stage_recipes import PairConstraints, SameStyleStageRecipe

__all__ = ["identified_patches", "pair_precision"]

_PICTURES = 200


def pair_precision(subject: Subject) -> Findings:
    """The pairs that the arm's same-style stage takes from the noisy log, against the styles as they are.

    Returns, with P kept pairs: ``right`` float[P], of one style; ``kept_true``, the share of the log's true
    pairs that is kept.
    """
    shop = subject.shops.train
    kept = pairs_of(shop.coclicks, shop.catalogue, _constraints(subject)).pairs
    groups = np.array([offer.style.group for offer in shop.offers])
    right = groups[kept[:, 0]] == groups[kept[:, 1]]
    return {
        "right": right.astype(np.float64),
        "kept_true": np.array(float(right.sum()) / _true_pairs(shop)),
    }


def identified_patches(towers: Towers, shop: Shop, size: int, views: int) -> Findings | None:
    """How often hidden patches of unseen pictures are recognised; None where the towers never learned to.

    The predictor is a head: it is gone once the towers lie in a checkpoint.
    """
    if HEAD not in towers.heads:
        return None
    pictures = shop.pictures(size, views)
    rows = np.flatnonzero(pictures.has_image.any(axis=1))[:_PICTURES]
    found = patch_identification(
        towers.product.image_encoder,
        towers.heads[HEAD],
        torch.from_numpy(pictures.pixels[rows]),
        torch.from_numpy(pictures.has_image[rows]),
    )
    return {"accuracy": np.array(found.accuracy), "chance": np.array(found.chance)}


def _constraints(subject: Subject) -> PairConstraints:
    for stage in subject.checkpoint.recipe.stages:
        if isinstance(stage, SameStyleStageRecipe):
            return stage.pairs
    return PairConstraints()


def _true_pairs(shop: Shop) -> int:
    group = {offer.product_id: offer.style.group for offer in shop.offers}
    pairs = {
        tuple(sorted((row.trigger_id, row.clicked_id)))
        for row in shop.coclicks
        if group[row.trigger_id] == group[row.clicked_id]
    }
    return max(1, len(pairs))
