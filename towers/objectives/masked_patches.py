"""Masked patch modelling: tell what was at the hidden places of a picture.

System B's abstract says that its visual pre-training task is contrastive instead of a regression
("MPM_R": the model must distinguish visual features); the rest is not published. Our proposal [DESIGN]:
some cells of a picture are painted grey, the picture is encoded again, and a predictor tells the
features of the hidden places. The target is the place's own feature in the whole picture, without
gradient.

    contrastive   the prediction must find its target (InfoNCE) among the other places of the same
                  picture and those of other pictures
    regression    the control: squared distance to the very same target, nothing else differs

Two cells that look alike (white beside white) are no negatives of each other: nothing in the picture
tells them apart. Whether they do is decided by their pixels, since features could be made alike.

A picture here is one view of a product; absent ones never come in.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faults import InvalidInput
from towers.build import Towers
from towers.encoders.picture_encoder import PictureEncoder
from towers.objectives.term import Forward

Kind = Literal["contrastive", "regression"]

HEAD = "masked_patches"
"""Its predictor's name among the towers' heads."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
_GREY = 128
_TEMPERATURE = 0.1
_MOST_PICTURES, _MOST_PLACES = 256, 4096
"""In one step: the contrastive scores grow with the square of the places."""
_SHADES = 32
"""Levels of a colour that count as different when cells are compared."""


class MaskedPatches:
    """Masked patch modelling as a term of the retrieval stage.

    Every picture encoder whose ``encode`` gives V * side * side places takes part.

    Args:
        kind: what the predictions are compared by.
        share: of a picture's cells, to be hidden; at least one is, and at least one is not.
    """

    name = "masked_patches"

    def __init__(self, kind: Kind = "contrastive", share: float = 0.5) -> None:
        self._kind: Kind = kind
        self._share = share

    def __call__(self, towers: Towers, forward: Forward) -> Tensor:
        """See ``Term``; the loss is a mean over hidden places."""
        pictures = some_pictures(forward.batch.pixels, forward.batch.has_image)
        nothing_to_do = len(pictures) == 0
        if nothing_to_do:
            # Not without the passes: on several devices a BatchNorm may wait for this one's.
            pictures = forward.batch.pixels.flatten(0, 1)[:2]
        guess = predict(towers.product.image_encoder, towers.heads[HEAD], pictures, self._share)
        loss = contrastive(guess) if self._kind == "contrastive" else regression(guess)
        return 0.0 * loss if nothing_to_do else loss


def add_heads(towers: Towers) -> None:
    """Adds the predictor that the term trains; none is added twice."""
    if HEAD not in towers.heads:
        width = towers.product.image_encoder.width
        towers.heads[HEAD] = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )


class Guess(NamedTuple):
    """What was predicted of N pictures with K hidden of S places each."""

    predicted: Tensor
    """float32[N*K,width]."""
    targets: Tensor
    """float32[N*S,width]: of all places, hidden or not; layer-normalised, without gradient."""
    own: Tensor
    """int64[N*K]: each prediction's row among the targets."""
    rivals: Tensor
    """bool[N*K,N*S]: targets that a prediction must be told apart from; its own is none."""


def predict(
    encoder: PictureEncoder,
    predictor: nn.Module,
    pictures: Tensor,
    share: float,
    generator: torch.Generator | None = None,
) -> Guess:
    """Hides cells of pictures and predicts them.

    Neither pass moves the running averages of a BatchNorm. The ordinary pass over the batch has moved
    them already; a second time would only make them forget faster, and grey cells would pull them
    towards pictures that no shopper sees. In training mode both normalise by their own pictures.

    Args:
        encoder: the picture encoder.
        predictor: float[...,width] to the same shape.
        pictures: uint8[N,H,W,3]; the last ones are left out where they have too many places.
        share: of the cells to hide.
        generator: of the choice, on the CPU; torch's own if none is given.
    """
    one_each = torch.ones(len(pictures), 1, dtype=torch.bool, device=pictures.device)
    with still_averages(encoder):
        with torch.no_grad():
            whole = encoder.encode(pictures[:, None], one_each).tokens.float()
        side = side_of(whole.shape[1])
        few = max(1, _MOST_PLACES // side**2)
        pictures, whole, one_each = pictures[:few], whole[:few], one_each[:few]
        hidden = hidden_places(len(pictures), side**2, share, generator).to(pictures.device)
        seen = encoder.encode(paint(pictures, hidden, side)[:, None], one_each).tokens
    at_hidden = seen.gather(1, hidden[..., None].expand(-1, -1, seen.shape[-1]))
    first = torch.arange(len(pictures), device=pictures.device)[:, None] * side * side
    own = (first + hidden).flatten()
    looks = appearance(pictures, side)
    return Guess(
        predictor(at_hidden).float().flatten(0, 1),
        F.layer_norm(whole, whole.shape[-1:]).flatten(0, 1),
        own,
        looks[own][:, None] != looks[None, :],
    )


def contrastive(guess: Guess) -> Tensor:
    """InfoNCE over cosines: each prediction finds its own place among its rivals; float32 scalar."""
    scores = _cosines(guess) / _TEMPERATURE
    return F.cross_entropy(scores.masked_fill(~_candidates(guess), float("-inf")), guess.own)


def regression(guess: Guess) -> Tensor:
    """Mean squared error between predictions and their targets; float32 scalar."""
    return F.mse_loss(guess.predicted, guess.targets[guess.own])


class PatchIdentification(NamedTuple):
    """How often hidden places are recognised."""

    accuracy: float
    """Share of the predictions whose nearest candidate is their own place."""
    chance: float
    """The same for guesses by lot."""


@torch.no_grad()
def patch_identification(
    encoder: PictureEncoder,
    predictor: nn.Module,
    pixels: Tensor,
    has_image: Tensor,
    share: float = 0.5,
    seed: int = 0,
) -> PatchIdentification:
    """Measures how well hidden places are told apart, whichever loss the predictor learned by.

    Args:
        encoder: in evaluation mode.
        predictor: of the same training.
        pixels: uint8[B,V,H,W,3]; of at least one picture.
        has_image: bool[B,V].
        share: of the cells to hide.
        seed: of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    guess = predict(encoder, predictor, pixels[has_image], share, generator)
    candidates = _candidates(guess)
    best = _cosines(guess).masked_fill(~candidates, float("-inf")).argmax(dim=1)
    return PatchIdentification(
        (best == guess.own).float().mean().item(), (1.0 / candidates.sum(dim=1)).mean().item()
    )


def some_pictures(pixels: Tensor, has_image: Tensor) -> Tensor:
    """The pictures that are there, in an order by lot, and not more than a step can bear.

    Args:
        pixels: uint8[B,V,H,W,3].
        has_image: bool[B,V].

    Returns:
        uint8[N,H,W,3], N possibly 0.
    """
    there = has_image.flatten().nonzero()[:, 0]
    chosen = torch.randperm(len(there))[:_MOST_PICTURES]
    return pixels.flatten(0, 1)[there[chosen.to(there.device)]]


def hidden_places(pictures: int, places: int, share: float, generator: torch.Generator | None) -> Tensor:
    """Draws int64[pictures,K], the places to hide: the same number of each picture, K = share of them."""
    hidden = min(max(1, round(share * places)), places - 1)
    # On the CPU whatever the device: its generator is what a training's progress keeps.
    return torch.rand(pictures, places, generator=generator).argsort(dim=1)[:, :hidden]


def paint(pictures: Tensor, hidden: Tensor, side: int) -> Tensor:
    """Returns uint8[N,H,W,3] pictures, whose int64[N,K] cells of a side * side grid are grey."""
    grid = torch.zeros(len(pictures), side * side, dtype=torch.bool, device=pictures.device)
    grid = grid.scatter(1, hidden, torch.ones_like(hidden, dtype=torch.bool)).view(-1, side, side)
    rows, columns = (_cell_of(pictures.shape[axis], side, pictures.device) for axis in (1, 2))
    return pictures.masked_fill(grid[:, rows][:, :, columns][..., None], _GREY)


def appearance(pictures: Tensor, side: int) -> Tensor:
    """Numbers the looks of cells: equal where they have the same mean colours in their four quarters.

    Args:
        pictures: uint8[N,H,W,3].
        side: of the grid of cells.

    Returns:
        int64[N*side*side].
    """
    quarters = F.adaptive_avg_pool2d(pictures.permute(0, 3, 1, 2).float(), 2 * side)
    shades = (quarters * (_SHADES / 256)).long()
    cells = shades.view(len(pictures), 3, side, 2, side, 2).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(0, 2)
    digits = _SHADES ** torch.arange(cells.shape[1], device=pictures.device)  # 12 digits of 5 bits
    return (cells * digits).sum(dim=1)


@contextlib.contextmanager
def still_averages(module: nn.Module) -> Iterator[None]:
    """Lets every BatchNorm in ``module`` normalise as before, without moving its running averages."""
    norms = [part for part in module.modules() if isinstance(part, _NORMS)]
    moving = [norm for norm in norms if norm.training and norm.track_running_stats]
    for norm in moving:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in moving:
            norm.track_running_stats = True


def side_of(places: int) -> int:
    """Side of the square grid of a picture's places.

    Raises:
        InvalidInput: the places are no square grid, or a single one, of which nothing would be left.
    """
    side = math.isqrt(places)
    if side * side != places or side < 2:
        raise InvalidInput(
            "masked patches need a picture encoder with a square grid of 2 x 2 places or more",
            field="recipe.image",
            value=f"{places} places a picture",
            fix="Use larger pictures (image.size), fewer image.channels, or no masked_patches.",
        )
    return side


def _cell_of(length: int, side: int, device: torch.device) -> Tensor:
    """int64[length]: the cell that a row or column of pixels belongs to."""
    return torch.arange(length, device=device) * side // length


def _candidates(guess: Guess) -> Tensor:
    """bool[N*K,N*S]: the rivals and the prediction's own place."""
    return guess.rivals.scatter(1, guess.own[:, None], torch.ones_like(guess.own[:, None], dtype=torch.bool))


def _cosines(guess: Guess) -> Tensor:
    """float32[N*K,N*S], also where the encoders run in bfloat16."""
    predicted, targets = (F.normalize(part, dim=1, eps=1e-6) for part in (guess.predicted, guess.targets))
    with torch.autocast(predicted.device.type, enabled=False):
        return predicted @ targets.T
