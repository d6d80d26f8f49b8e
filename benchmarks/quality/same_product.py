"""Picture to picture: does another photograph of a product find its main photograph?

    python -m benchmarks.quality.same_product CHECKPOINT [--data ../shared/data/same_product]

Three tasks on photographs of one product (``catalog.photographs``), each by the product tower with the
words absent, and by colour histograms (``evaluation.colour_histogram``) on the very same pictures:

- ``luma_other_view_to_main``: every photograph that is not ``main`` asks; right is the main photograph of
  its own product (style and colour).
- ``luma_main_to_other_colour``: every main photograph asks, and is not shown itself; right is a main
  photograph of the same style in another colour. Styles of one colour do not ask.
- ``grocery_shelf_to_iconic``: shelf photographs of the split ``test`` ask; right is the iconic picture of
  their product.

Who asks and who is a candidate:

- ``held_out``: held-out styles ask, and the main photographs of held-out products are the candidates.
- ``held_out_among_all``: held-out styles ask, and the main photographs of all products are the candidates.
- ``all``: all ask and all are candidates. Where the towers were trained on a part of them, this is no
  honest figure; it is there because the histogram's published one is of that kind.
- of grocery, ``test``: the candidates are the iconic pictures of all products; ``test_held_out_styles`` is
  the part of it whose products lie in no training at all.

R@1 and R@10: share of the queries with a right candidate among the best 1 and 10; a tie counts against.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality.pictures_alone import picture_vectors
from catalog.held_out import is_held_out
from catalog.photographs import Photograph, decode_photographs, read_photographs
from evaluation.colour_histogram import colour_histograms
from evaluation.same_style import found_by_group
from towers.checkpoint import load_checkpoint

_DATA = Path("../shared/data/same_product")
_K = 10

Vectors = npt.NDArray[np.float32]
Rows = list[int]


def measure(photographs: Sequence[Photograph], systems: dict[str, Vectors]) -> dict[str, Any]:
    """Measures vectors of photographs on all tasks.

    Args:
        photographs: N of them, of luma and of grocery (told apart by their views).
        systems: by name, float32[N,dim], L2-normalised.

    Returns:
        By task and by who asks: counts, and of each system R@1 and R@10.
    """
    held = [is_held_out(photograph.style_group) for photograph in photographs]

    def rows(wanted: Callable[[Photograph], bool], held_out: bool = False) -> Rows:
        return [
            row
            for row, photograph in enumerate(photographs)
            if wanted(photograph) and (held[row] or not held_out)
        ]

    def compare(asking: Rows, offered: Rows, label: str, own_shown: bool = True) -> dict[str, Any]:
        return _compare(photographs, systems, asking, offered, label, own_shown)

    def other_colours(held_out: bool, among: bool) -> dict[str, Any]:
        return compare(rows(_is_main, held_out), rows(_is_main, among), "style_group", own_shown=False)

    iconic = rows(_is_iconic)
    return {
        "luma_other_view_to_main": {
            "held_out": compare(rows(_is_other, True), rows(_is_main, True), "group_id"),
            "held_out_among_all": compare(rows(_is_other, True), rows(_is_main), "group_id"),
            "all": compare(rows(_is_other), rows(_is_main), "group_id"),
        },
        "luma_main_to_other_colour": {
            "held_out": other_colours(held_out=True, among=True),
            "held_out_among_all": other_colours(held_out=True, among=False),
            "all": other_colours(held_out=False, among=False),
        },
        "grocery_shelf_to_iconic": {
            "test": compare(rows(_is_test_shelf), iconic, "group_id"),
            "test_held_out_styles": compare(rows(_is_test_shelf, True), iconic, "group_id"),
        },
    }


def _compare(
    photographs: Sequence[Photograph],
    systems: dict[str, Vectors],
    asking: Rows,
    offered: Rows,
    label: str,
    own_shown: bool,
) -> dict[str, Any]:
    place = {row: at for at, row in enumerate(offered)}
    own = None if own_shown else np.array([place.get(row, -1) for row in asking], dtype=np.int64)
    labels = [[getattr(photographs[row], label) for row in part] for part in (asking, offered)]
    result: dict[str, Any] = {"candidates": len(offered)}
    for name, vectors in systems.items():
        found = found_by_group(vectors[asking], vectors[offered], *labels, own=own, k=_K)
        result["queries"] = found.queries
        result[name] = {"r_at_1": _rounded(found.first), "r_at_10": _rounded(found.within_k)}
    return result


def _rounded(share: float) -> float | None:
    return None if np.isnan(share) else round(share, 4)


def _is_grocery(photograph: Photograph) -> bool:
    return photograph.view in ("iconic", "shelf photo")


def _is_main(photograph: Photograph) -> bool:
    return photograph.view == "main"


def _is_other(photograph: Photograph) -> bool:
    return not _is_main(photograph) and not _is_grocery(photograph)


def _is_iconic(photograph: Photograph) -> bool:
    return photograph.view == "iconic"


def _is_test_shelf(photograph: Photograph) -> bool:
    return photograph.view == "shelf photo" and photograph.split == "test"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures a checkpoint and prints the figures, as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, default=_DATA)
    chosen = parser.parse_args(arguments)
    checkpoint = load_checkpoint(chosen.checkpoint)
    photographs = read_photographs(chosen.data)
    image = checkpoint.recipe.image
    pixels = decode_photographs(photographs, image.size).pixels
    figures = measure(
        photographs,
        {
            "towers": picture_vectors(checkpoint.towers, pixels, image.views),
            "colour_histogram": colour_histograms(pixels),
        },
    )
    for task, parts in figures.items():
        for part, values in parts.items():
            print(f"{task:26} {part:21} {_line(values)}")  # noqa: T201
    about = {"checkpoint": str(chosen.checkpoint), "trained_on": checkpoint.provenance.split, "k": _K}
    print(json.dumps({**about, **figures}))  # noqa: T201


def _line(values: dict[str, Any]) -> str:
    shown = [f"{values['queries']:4} queries, {values['candidates']:4} candidates"]
    for name in ("towers", "colour_histogram"):
        first, within = values[name]["r_at_1"], values[name]["r_at_10"]
        shown.append(f"{name} {first if first is not None else '-'}/{within if within is not None else '-'}")
    return "; ".join(shown)


if __name__ == "__main__":
    main()
