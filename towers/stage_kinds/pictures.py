"""The picture stage: the image half learns, alone, to answer queries whose words are understood already.

A picture encoder from scratch beside a pretrained text encoder is drowned: the words explain the
clicks, and little gradient is left for the pixels. So first the pictures alone are aligned with the
vectors of the queries that their products were clicked for, while the query tower stands still. It is
cheap, since no text encoder runs, so that many passes over the pictures fit into the time of a
few joint steps.

The abstract of "Beyond Text" (arXiv 2603.04836) names a two-stage alignment of the query with text and
with image; its details are not published, and these are ours [DESIGN].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from towers.build import Towers
from towers.data.examples import Examples
from towers.data.material import Material
from towers.embedding import query_vectors
from towers.objectives.softmax import in_batch_softmax
from towers.recipe import Recipe
from towers.stage_recipes import PicturesStageRecipe
from towers.training.distributed import block, gather
from towers.training.loop import ParameterGroup, Stage

_LARGEST_SHIFT = 1 / 16
"""Of the picture's side."""


@dataclass(frozen=True)
class PictureBatch:
    """P products' pictures, and the vectors of Q queries that they were clicked for."""

    pixels: Tensor
    """uint8[P,V,H,W,3]."""
    has_image: Tensor
    """bool[P,V]."""
    queries: Tensor
    """float32[Q,dim], L2-normalised."""
    target: Tensor
    """int64[Q]: the row of each query's product."""
    known: Tensor
    """bool[Q,P]: product j was clicked for query i."""


def pictures_stage(
    stage: PicturesStageRecipe, recipe: Recipe, towers: Towers, material: Material
) -> Stage[PictureBatch]:
    """Returns the stage that trains the image encoder and its projection, and nothing else."""
    product = towers.product
    learning = (*product.image_encoder.parameters(), *product.project_image.parameters())
    return Stage(
        name=stage.kind,
        steps=stage.steps,
        groups=(ParameterGroup(tuple(learning), stage.learning_rate),),
        batches=lambda skip: _batches(stage, recipe.seed, towers, material.examples, skip),
        loss=lambda towers, batch: {"image": _loss(towers, batch, stage.scale, recipe.bfloat16)},
        warmup=stage.warmup,
        weight_decay=stage.weight_decay,
    )


def _batches(
    stage: PicturesStageRecipe, seed: int, towers: Towers, examples: Examples, skip: int
) -> Iterator[PictureBatch]:
    vectors = query_vectors(towers, examples.query_tokens)
    random = np.random.default_rng(seed)
    shown: npt.NDArray[np.bool_] = np.asarray(examples.pictures.has_image.any(axis=1))
    rows_with = np.array([row for row in sorted(examples.asked) if shown[row]], dtype=np.int64)
    for step in range(stage.steps):
        size = min(stage.batch, len(rows_with))
        rows = random.choice(rows_with, size=size, replace=False)
        asked = [examples.asked[row] for row in rows.tolist()]
        queries = np.concatenate(
            [random.choice(ids, stage.queries_each, p=chances) for ids, chances in asked]
        )
        flipped = np.less(random.random(size), 0.5)
        side = examples.pictures.pixels.shape[2]
        most = round(side * _LARGEST_SHIFT)
        shift = random.integers(-most, most + 1, 2)
        if step < skip:
            continue
        yield PictureBatch(
            torch.from_numpy(_moved(examples.pictures.pixels[rows], flipped, shift)),
            torch.from_numpy(examples.pictures.has_image[rows]),
            vectors[queries],
            torch.from_numpy(np.repeat(np.arange(size), stage.queries_each)),
            examples.known(queries, rows),
        )


def _moved(
    pixels: npt.NDArray[np.uint8], flipped: npt.NDArray[np.bool_], shift: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """Mirrors some products' pictures [P,V,H,W,3] and shifts all, so that no picture is learned by heart."""
    shifted = np.roll(pixels, (int(shift[0]), int(shift[1])), axis=(2, 3))
    mirrored = flipped.reshape(-1, 1, 1, 1, 1)
    return np.where(mirrored, shifted[:, :, :, ::-1], shifted)


def _loss(towers: Towers, batch: PictureBatch, scale: float, bfloat16: bool) -> Tensor:
    own = block(len(batch.pixels))  # of several processes each encodes its part, and compares all
    with torch.autocast(batch.target.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        images = towers.product.pictures_alone(batch.pixels[own], batch.has_image[own])
    return in_batch_softmax(batch.queries, gather(images), batch.target, batch.known, scale)
