"""Results of long trainings, kept as JSON so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalog.atomic import make_folder, write_atomically
from catalog.catalogue import Catalogue
from catalog.photographs import Photograph
from towers.recipe import Recipe
from towers.training.loop import Step
from towers.training.resume import ProgressFolder

__all__ = ["identity", "kept_or_made", "say", "step_teller"]


def identity(catalogue: Catalogue, recipe: Recipe, photographs: tuple[Photograph, ...] = ()) -> str:
    """Returns a hash of what a result depends on: catalogue, recipe, photographs."""
    whole = hashlib.sha256(catalogue.fingerprint().encode())
    whole.update(recipe.model_dump_json().encode())
    for photograph in photographs:
        whole.update(photograph.data)
    return whole.hexdigest()


def kept_or_made(
    out: Path, name: str, known: dict[str, str], make: Callable[[ProgressFolder], dict[str, Any]]
) -> dict[str, Any]:
    """Returns an earlier result where it answers the same question; else makes and keeps it.

    Args:
        out: folder of results; made where it does not exist.
        name: of this result's file.
        known: what the result depends on; kept in it, and compared.
        make: trains and measures; its training goes on from the progress folder it is given.
    """
    make_folder(out)
    path = out / f"{name}.json"
    if path.is_file():
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if all(result.get(key) == value for key, value in known.items()):
            return result
        say(f"{path} is of another catalogue or recipe: it is measured anew")
    progress = ProgressFolder(out / f".{name}.progress", say, {"result": name, **known})
    result = {**known, **make(progress)}
    content = json.dumps(result, indent=1).encode()
    write_atomically(path, lambda stream: stream.write(content))
    progress.remove()
    return result


def step_teller(name: str, every: int = 50) -> Callable[[Step], None]:
    """Returns what prints the loss of every ``every``-th step."""

    def on_step(step: Step) -> None:
        if step.number % every == 0 or step.number == step.of:
            say(f"{name}: step {step.number} of {step.of}, {step.stage}, loss {step.loss:.3f}")

    return on_step


def say(text: str) -> None:
    """Prints a line beside the results."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
