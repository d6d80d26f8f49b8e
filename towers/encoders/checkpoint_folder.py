"""Reads a local Hugging Face checkpoint folder: its settings and its weights, by the names inside.

What stands in such a folder comes from elsewhere. Weights are read without running anything that the
file asks for, and every fault of the folder becomes one error that names it.
"""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from faults import InvalidInput


def read_settings(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Returns a JSON file of the folder; raises OSError, ValueError or InvalidInput where there is none."""
    settings = json.loads((folder / name).read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise InvalidInput(f"{name} holds no settings")
    return settings


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Returns the tensors of ``model.safetensors`` or else ``pytorch_model.bin``, on the CPU in float32.

    The latter is a pickle: it is read with torch's ``weights_only``, which makes tensors and nothing
    else. LayerNorm's old names gamma and beta become weight and bias.

    Raises:
        OSError: neither file can be read.
        InvalidInput: it is damaged, or holds something else than tensors.
    """
    try:
        if (folder / "model.safetensors").exists() or not (folder / "pytorch_model.bin").exists():
            weights = load_file(folder / "model.safetensors")
        else:
            weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise InvalidInput(f"its weights cannot be read: {error}") from error
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise InvalidInput("its weights are no tensors")
    return {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): (
            value.float()
        )
        for name, value in weights.items()
    }


@contextlib.contextmanager
def refusing(folder: Path, kind: str, field: str, fix: str) -> Iterator[None]:
    """Turns what a wrong or damaged folder raises into an InvalidInput that names the folder.

    Args:
        folder: the folder that is read.
        kind: what was expected of it, such as "BERT-like".
        field: of the recipe.
        fix: what to name instead.
    """
    try:
        yield
    except KeyError as error:
        raise InvalidInput(
            f"no {kind} checkpoint: it has no {error}", field=field, value=str(folder), fix=fix
        ) from error
    except (ArithmeticError, InvalidInput, OSError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InvalidInput) and error.field:
            raise  # it names what is at fault itself
        raise InvalidInput(
            f"no {kind} checkpoint: {error}", field=field, value=str(folder), fix=fix
        ) from error
