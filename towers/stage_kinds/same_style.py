"""The same-style stage: products of one style find each other, by all of them or by a part.

System D ("eSSPR", arXiv 2302.05093): three views of a trigger, all pulled to the whole of a product
that shoppers took for the same (PPM); each part finds its own whole (PDC) and keeps its neighbourhood
(LC). Its formulas stand in ``towers.objectives.same_style``. Weights, margins and rates are not
published; those here, and the queries that learn along so that words go on finding products, are
ours [DESIGN].

It trains a single-stream tower, whose views are masks, as well as two encoders and a fusion, whose
views are its text vector and its image vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from catalog.tokenizer import pad_batch
from faults import CatalogueError
from towers.build import Towers
from towers.data.examples import Examples
from towers.data.material import Material
from towers.data.pairs import Pairs, pairs_of
from towers.objectives.same_style import locality_consistency, pair_hinge, symmetric_softmax
from towers.objectives.softmax import in_batch_softmax
from towers.recipe import Recipe
from towers.stage_kinds.rates import free_weights
from towers.stage_recipes import SameStyleStageRecipe
from towers.towers import ProductViews
from towers.training.loop import Stage

_DRAWS = 2
"""Keeps this stage's draws apart from those of a retrieval stage of the same seed."""


@dataclass(frozen=True)
class PairBatch:
    """P triggers, their P partners, and Q queries of the triggers."""

    product_ids: Tensor
    """int64[2P,L]: the triggers, then the partners, as in all that follows."""
    product_mask: Tensor
    pixels: Tensor
    has_text: Tensor
    has_image: Tensor
    fitting: Tensor
    """bool[P,P]: partner j is no negative of trigger i."""
    alike: Tensor
    """bool[P,P]: trigger j is no negative of trigger i."""
    query_ids: Tensor
    """int64[Q,L]; Q is 0 where no trigger was ever asked for, or queries have no weight."""
    query_mask: Tensor
    target: Tensor
    """int64[Q]: the place of each query's trigger."""
    known: Tensor
    """bool[Q,2P]: the products that were clicked for the query."""

    def products(self, partners: bool) -> tuple[Tensor, ...]:
        """Returns the product tower's inputs of the P triggers, or of their partners."""
        half = slice(len(self.fitting), None) if partners else slice(len(self.fitting))
        every = (self.product_ids, self.product_mask, self.pixels, self.has_text, self.has_image)
        return tuple(part[half] for part in every)


def same_style_stage(
    stage: SameStyleStageRecipe, recipe: Recipe, towers: Towers, material: Material
) -> Stage[PairBatch]:
    """Returns the stage that trains all weights which the recipe leaves free.

    Raises:
        CatalogueError: there is no co-click log, it names unknown products, or no pair is left of it.
    """
    if material.coclicks is None:
        raise CatalogueError(
            "products of one style are learned from co-clicks, and there are none",
            field="coclicks",
            fix="Give coclicks.parquet (trigger_id, clicked_id, clicks) beside the catalogue.",
        )
    pairs = pairs_of(material.coclicks, material.catalogue, stage.pairs)
    next(pairs.draws(stage.batch, 1, [0]))  # no pair left is said before anything is trained
    return Stage(
        name=stage.name or stage.kind,
        steps=stage.steps,
        groups=free_weights(towers, stage),
        batches=partial(_batches, stage, recipe.seed, pairs, material.examples),
        loss=partial(_loss, stage, recipe.bfloat16),
        warmup=stage.warmup,
        weight_decay=stage.weight_decay,
    )


def _batches(
    stage: SameStyleStageRecipe, seed: int, pairs: Pairs, examples: Examples, skip: int
) -> Iterator[PairBatch]:
    draws = pairs.draws(stage.batch, stage.steps, [seed, _DRAWS], skip)
    for number, (left, right) in enumerate(draws, start=skip):
        rows = np.concatenate([left, right])
        ids, mask = pad_batch([examples.product_tokens[row] for row in rows])
        places, queries = _queries(stage, examples, left, np.random.default_rng([seed, _DRAWS, number]))
        query_ids, query_mask = pad_batch([examples.query_tokens[query] for query in queries] or [[0]])
        yield PairBatch(
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.from_numpy(examples.pictures.pixels[rows]),
            torch.from_numpy(examples.has_text[rows, None]),
            torch.from_numpy(examples.pictures.has_image[rows]),
            torch.from_numpy(pairs.known(left, right)),
            torch.from_numpy(pairs.known(left, left)),
            torch.from_numpy(query_ids[: len(queries)]),
            torch.from_numpy(query_mask[: len(queries)]),
            torch.from_numpy(places),
            examples.known(queries, rows).reshape(len(queries), len(rows)),
        )


def _queries(
    stage: SameStyleStageRecipe,
    examples: Examples,
    left: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the places of triggers that were asked for, and a query for each; none without a weight."""
    places, drawn = [], []
    for place, row in enumerate(left.tolist() if stage.query_weight else []):
        if row in examples.asked:
            queries, chances = examples.asked[row]
            places += [place] * stage.queries_each
            drawn += random.choice(queries, stage.queries_each, p=chances).tolist()
    return np.array(places, dtype=np.int64), np.array(drawn, dtype=np.int64)


def _loss(stage: SameStyleStageRecipe, bfloat16: bool, towers: Towers, batch: PairBatch) -> dict[str, Tensor]:
    with torch.autocast(batch.fitting.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        views = towers.product.views(*batch.products(partners=False))
        partners, _ = towers.product(*batch.products(partners=True))
        queries = towers.query(batch.query_ids, batch.query_mask) if len(batch.target) else None
    losses = {name: weight * loss for name, weight, loss in _pair_terms(stage, batch, views, partners)}
    query = views.fused.new_zeros(())
    if queries is not None:
        products = torch.cat([views.fused, partners])
        query = in_batch_softmax(queries, products, batch.target, batch.known, stage.scale)
    return {**losses, "query": stage.query_weight * query}


def _pair_terms(
    stage: SameStyleStageRecipe, batch: PairBatch, views: ProductViews, partners: Tensor
) -> Iterator[tuple[str, float, Tensor]]:
    """Yields each task's name, weight and loss; a part is a view of its own only beside the other."""
    *_, texts, images = batch.products(partners=False)
    has_text, has_image = texts[:, 0], images.any(dim=1)
    everyone, both = torch.ones_like(has_text), has_text & has_image
    pulls = (
        ("full", views.fused, everyone, stage.full_weight),
        ("text", views.text, has_text, stage.text_weight),
        ("image", views.image, has_image, stage.image_weight),
    )
    for name, view, asking, weight in pulls:
        cosines = view @ partners.T
        if stage.loss == "hinge":
            yield f"ppm_{name}", weight, pair_hinge(cosines, stage.margin, batch.fitting, asking)
        else:
            yield f"ppm_{name}", weight, symmetric_softmax(cosines, stage.scale, batch.fitting, asking)
    parts = (views.text, views.image)
    distinct = [pair_hinge(part @ views.fused.T, stage.distinct_margin, batch.alike, both) for part in parts]
    yield "pdc", stage.distinct_weight, torch.stack(distinct).mean()
    full = views.fused @ partners.T
    consistent = [
        locality_consistency(full, part @ partners.T, stage.consistency_margin, both) for part in parts
    ]
    yield "lc", stage.consistency_weight, torch.stack(consistent).mean()
