"""The numeric gate: an exported tower must give PyTorch's vectors, whatever stands beside them.

Three comparisons on ordinary and hostile inputs: against PyTorch in float32; each row
alone against the same row in a batch (neighbours and padding may not move a vector);
and a scan for numbers that are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from catalog.tokenizer import Tokenizer, pad_batch
from evaluation.cosine import CosineTails, cosine_tails
from export import hostile_inputs
from export.onnx_export import TowerGraph
from faults import GateFailed
from releases.manifest import GateReport
from towers.recipe import Recipe

MINIMUM_COSINE = {"fp32": 0.99999}
"""By precision: the worst row's cosine to PyTorch, and to itself in other company."""

_NAMED_INPUTS = 5

Array = npt.NDArray[np.generic]
Vectors = npt.NDArray[np.float32]
Feed = dict[str, Array]


@dataclass(frozen=True)
class Sample:
    """A row of every input, not yet padded."""

    name: str
    ids: list[int]
    pixels: npt.NDArray[np.uint8]
    has_text: bool
    has_image: bool


def samples(tokenizer: Tokenizer, recipe: Recipe, max_tokens: int, texts: Sequence[str]) -> list[Sample]:
    """Crosses texts, the hostile ones first, with the hostile pictures; some rows lack a modality."""
    every = [*hostile_inputs.TEXTS, *texts]
    shots = hostile_inputs.pictures(recipe.image.size)
    rows = []
    for place, (text, ids) in enumerate(zip(every, tokenizer.encode(every, max_tokens), strict=True)):
        has_text = bool(text.strip()) and place % 5 != 4
        has_image = not has_text or place % 4 != 3
        pixels = shots[place % len(shots)]
        rows.append(
            Sample(text[:40], ids, pixels if has_image else np.zeros_like(pixels), has_text, has_image)
        )
    return rows


def feed_of(rows: Sequence[Sample], inputs: Sequence[str], views: int) -> Feed:
    """Stacks samples into the named input tensors of a tower."""
    ids, mask = pad_batch([row.ids for row in rows])
    pixels = np.zeros((len(rows), views, *rows[0].pixels.shape), dtype=np.uint8)
    pixels[:, 0] = [row.pixels for row in rows]
    has_image = np.zeros((len(rows), views), dtype=np.bool_)
    has_image[:, 0] = [row.has_image for row in rows]
    # Some rows show further pictures, upside down ones, so that every slot is compared.
    for place, row in enumerate(rows):
        if row.has_image and len(row.ids) % 2:
            pixels[place, 1:], has_image[place, 1:] = row.pixels[::-1], True
    has_text = np.array([[row.has_text] for row in rows])
    tensors: Feed = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixels": pixels,
        "has_text": has_text,
        "has_image": has_image,
    }
    return {name: tensors[name] for name in inputs}


def check_parity(
    graph: TowerGraph, onnx_file: Path, rows: Sequence[Sample], views: int, precision: str
) -> GateReport:
    """Compares the exported tower with PyTorch; see the module's text.

    Returns:
        The passed gate's report.

    Raises:
        GateFailed: a cosine is below the precision's threshold or a number is NaN or
            infinite; the worst inputs are named.
    """
    session = ort.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    together = feed_of(rows, graph.inputs, views)
    with torch.no_grad():
        reference = graph.module(*(torch.from_numpy(tensor) for tensor in together.values()))
    expected = [tensor.numpy() for tensor in (reference if isinstance(reference, tuple) else (reference,))]
    found = session.run(list(graph.outputs), together)
    alone = np.concatenate(
        [session.run(list(graph.outputs), feed_of([row], graph.inputs, views))[0] for row in rows]
    )
    limit = MINIMUM_COSINE[precision]
    to_torch = cosine_tails(expected[0], found[0])
    to_itself = cosine_tails(found[0], alone)
    failing = [*_below(limit, to_torch, expected[0], found[0]), *_below(limit, to_itself, found[0], alone)]
    measured = {
        "mean_cosine": to_torch.mean,
        "p1_cosine": to_torch.p1,
        "minimum_cosine": to_torch.minimum,
        "minimum_cosine_alone": to_itself.minimum,
    }
    thresholds = dict.fromkeys(("minimum_cosine", "minimum_cosine_alone"), limit)
    if len(expected) > 1:
        differences = np.abs(expected[1] - found[1]).max(axis=1)
        failing += np.flatnonzero(~(differences <= 1 - limit)).tolist()  # so NaN fails as well
        measured["largest_weight_difference"] = float(differences.max())
        thresholds["largest_weight_difference"] = 1 - limit
    name = f"parity of {graph.name}"
    if failing:
        raise GateFailed(
            f"{graph.name} differs from PyTorch or depends on its batch: {measured} against {thresholds}",
            field=name,
            value=list(dict.fromkeys(rows[row].name for row in failing))[:_NAMED_INPUTS],
            fix="Nothing was published. The named inputs show where to look.",
        )
    return GateReport(name=name, passed=True, measured=measured, thresholds=thresholds)


def _below(limit: float, tails: CosineTails, one: Vectors, other: Vectors) -> list[int]:
    """Returns the rows that miss the limit, the worst first."""
    return [
        row
        for row in tails.worst_rows
        if cosine_tails(one[row : row + 1], other[row : row + 1]).minimum < limit
    ]
