"""Rows for the numeric gate: ordinary and hostile texts crossed with hostile pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from catalog.tokenizer import Tokenizer, pad_batch
from export.gate import hostile_inputs
from export.gate.engine import Feed
from towers.recipe import Recipe


@dataclass(frozen=True)
class Sample:
    """A row of every input, not yet padded."""

    name: str
    ids: list[int]
    pixels: npt.NDArray[np.uint8]
    """uint8[H,W,3]."""
    has_text: bool
    has_image: bool
    place: int = 0
    """Decides which of several picture slots are filled: the first, all, or all but the first."""


def samples(tokenizer: Tokenizer, recipe: Recipe, max_tokens: int, texts: Sequence[str]) -> list[Sample]:
    """Returns the rows that an engine is compared on; equal arguments give equal rows.

    Every text, the hostile ones first, with some picture; every hostile text without a
    picture (the empty one has neither); every hostile picture without a text.

    Args:
        tokenizer: turns texts into ids.
        recipe: has the size of the pictures.
        max_tokens: of the tower.
        texts: ordinary texts.
    """
    shots = hostile_inputs.pictures(recipe.image.size)
    names, nothing = list(shots), np.zeros_like(shots["black"])
    every = [*hostile_inputs.TEXTS, *texts]
    tokenised = tokenizer.encode(every, max_tokens)
    rows = []
    for place, (text, ids) in enumerate(zip(every, tokenised, strict=True)):
        shown = names[place % len(names)]
        rows.append(Sample(f"{text[:40]!r} with {shown}", ids, shots[shown], bool(text.strip()), True))
    for text, ids in zip(hostile_inputs.TEXTS, tokenised, strict=False):
        rows.append(Sample(f"{text[:40]!r} without picture", ids, nothing, bool(text.strip()), False))
    empty = tokenizer.encode([""], max_tokens)[0]
    rows += [Sample(f"picture {name} alone", empty, shots[name], False, True) for name in names]
    return [replace(row, place=place) for place, row in enumerate(rows)]


def feed_of(
    rows: Sequence[Sample],
    inputs: Sequence[str],
    views: int,
    multiple_of: int = 1,
    length: int = 0,
    at_most: int | None = None,
) -> Feed:
    """Stacks samples into the named input tensors of a tower.

    Args:
        rows: B samples.
        inputs: the tower's inputs, in order.
        views: pictures a product.
        multiple_of: texts are padded to a multiple of it,
        length: and at least to this many tokens,
        at_most: but not, for the multiple's sake, to more than these.
    """
    ids, mask = pad_batch([row.ids for row in rows], multiple_of, at_most)
    missing = max(0, length - ids.shape[1])
    ids, mask = (np.pad(array, ((0, 0), (0, missing))) for array in (ids, mask))
    pixels = np.zeros((len(rows), views, *rows[0].pixels.shape), dtype=np.uint8)
    has_image = np.array([_filled(row, views) for row in rows], dtype=np.bool_).reshape(len(rows), views)
    for place, row in enumerate(rows):
        for slot in np.flatnonzero(has_image[place]):
            pixels[place, slot] = np.rot90(row.pixels, k=int(slot))  # so that no two slots show the same
    tensors: Feed = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixels": pixels,
        "has_text": np.array([[row.has_text] for row in rows]),
        "has_image": has_image,
    }
    return {name: tensors[name] for name in inputs}


def _filled(row: Sample, views: int) -> list[bool]:
    """Returns which slots show a picture: a first one may be missing, as when it could not be decoded."""
    if views == 1 or not row.has_image:
        return [row.has_image] * views
    return [[True] + [False] * (views - 1), [True] * views, [False] + [True] * (views - 1)][row.place % 3]
