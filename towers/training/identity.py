"""What decides how a training goes: two runs with equal identities take the same steps.

Names and short values, so that a difference can be said in words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from catalog.schema import Click
from towers.build import Towers
from towers.data.examples import Examples
from towers.recipe import Recipe
from towers.training.distributed import processes
from towers.training.loop import Stage

Identity = Mapping[str, str]
"""Causes come before what follows from them: the first differences explain the others."""

_SHOWN_DIFFERENCES, _SHOWN_LENGTH = 3, 16


def training_identity(
    recipe: Recipe,
    clicks: Sequence[Click],
    examples: Examples,
    towers: Towers,
    stages: Sequence[Stage[Any]],
    known: Identity,
) -> dict[str, str]:
    """Returns the identity of a training that is about to begin.

    Args:
        recipe: what is built and how it is trained.
        clicks: the click log, in its order.
        examples: what the towers will see.
        towers: before their first step; their weights stand for the seed and a pretrained checkpoint.
        stages: of the training.
        known: what only the caller knows (the catalogue's fingerprint, the split).
    """
    weights = [value.numpy() for module in towers.modules() for value in module.state_dict().values()]
    return {
        **{f"recipe.{name}": value for name, value in _flat(recipe.model_dump(mode="json"))},
        **known,
        "clicks": digest([asdict(click) for click in clicks]),
        "stages": ", ".join(f"{stage.name} {stage.steps}" for stage in stages),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "Vitrine's towers package": _code(),
        "pictures": _digest_of_arrays([examples.pictures.pixels, examples.pictures.has_image]),
        "tokens": digest([examples.query_tokens, examples.product_tokens]),
        "first weights": _digest_of_arrays(weights),
    }


def differences(then: Identity, now: Identity) -> str:
    """Says what differs between two identities; empty where nothing does."""
    found = [
        f"{name}: {_short(then.get(name))} then, {_short(now.get(name))} now"
        for name in dict.fromkeys((*now, *then))
        if then.get(name) != now.get(name)
    ]
    more = len(found) - _SHOWN_DIFFERENCES
    return "; ".join(found[:_SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def machine() -> str:
    """Names what decides how sums are rounded: the processor's instructions, torch's threads, processes."""
    each = f"{torch.backends.cpu.get_cpu_capability()} with {torch.get_num_threads()} threads"
    return each if processes() == 1 else f"{each} in each of {processes()} processes"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, list):
            yield from _flat({f"{place}": entry for place, entry in enumerate(value)}, f"{prefix}{name}.")
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def digest(value: object) -> str:
    """Returns a SHA-256 (hex) of what JSON can say."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _digest_of_arrays(arrays: Sequence[npt.NDArray[Any]]) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def _code() -> str:
    """Hash of this package's sources: another loss or another order of draws is another training."""
    whole = hashlib.sha256()
    package = Path(str(resources.files("towers")))
    for path in sorted(package.rglob("*.py")):
        whole.update(path.relative_to(package).as_posix().encode() + b"\x00" + path.read_bytes())
    return whole.hexdigest()


def _short(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= 2 * _SHOWN_LENGTH else f"{value[:_SHOWN_LENGTH]}…"
