"""Tiny checkpoint folders as transformers saves them, with its own outputs.

``tests/towers/pretrained_goldens/make.py`` wrote them; this only unpacks them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[Any]

_FILE = Path(__file__).parents[1] / "towers" / "pretrained_goldens" / "goldens.npz"


@cache
def goldens(case: str) -> dict[str, Array]:
    """All arrays of a case, without its name."""
    with np.load(_FILE) as arrays:
        return {name.split("/", 1)[1]: arrays[name] for name in arrays.files if name.startswith(f"{case}/")}


def weights_of(case: str) -> dict[str, Array]:
    """The checkpoint's tensors by their names."""
    found = goldens(case)
    return {name.split("/", 1)[1]: found[name] for name in found if name.startswith("weights/")}


def settings_of(case: str, file: str = "config.json") -> dict[str, Any]:
    """A JSON file of the checkpoint."""
    settings: dict[str, Any] = json.loads(goldens(case)[file].tobytes())
    return settings


def write_folder(
    folder: Path,
    case: str,
    settings: dict[str, Any] | None = None,
    weights: dict[str, Array] | None = None,
    preprocessor: bool = True,
) -> Path:
    """Writes the case's folder, with other settings or weights where they are given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings_of(case) if settings is None else settings))
    if preprocessor and "preprocessor_config.json" in goldens(case):
        text = goldens(case)["preprocessor_config.json"].tobytes()
        (folder / "preprocessor_config.json").write_bytes(text)
    whole = weights_of(case) if weights is None else weights
    save_file(
        {name: np.ascontiguousarray(value) for name, value in whole.items()}, folder / "model.safetensors"
    )
    return folder
