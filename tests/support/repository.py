"""Writes tiny models into a Triton repository the way the exporter does: template, runner, network."""

import shutil
import string
from pathlib import Path

from support.onnx_towers import build_product_tower, build_query_tower

from export.triton_config import MAX_BATCH_SIZE

SOURCE = Path(__file__).resolve().parents[2] / "model_repository"
DEFAULTS = {"dim": 8, "vocabulary_size": 100, "max_tokens": 48, "views": 1, "picture_size": 64}


def render_config(model: str, version: int = 1) -> str:
    template = string.Template((SOURCE / "templates" / f"{model}.cpu.pbtxt").read_text(encoding="utf-8"))
    return template.substitute(version=version, instances=1, max_batch_size=MAX_BATCH_SIZE[model])


def write_tower(repository: Path, model: str, version: int = 1, *, seed: int | None = None, **values) -> Path:
    """Adds a version of ``query_tower`` or ``product_tower``; returns its folder."""
    folder = repository / model / str(version)
    folder.mkdir(parents=True)
    facts = {**DEFAULTS, **values}
    shared = {
        "dim": facts["dim"],
        "vocabulary_size": facts["vocabulary_size"],
        "seed": seed or version,
        "metadata": {name: facts[name] for name in ("vocabulary_size", "max_tokens")},
    }
    if model == "query_tower":
        build_query_tower(folder / "model.onnx", **shared)
    else:
        build_product_tower(folder / "model.onnx", views=facts["views"], size=facts["picture_size"], **shared)
    for file in (SOURCE / "runner").glob("*.py"):
        shutil.copy(file, folder)
    config = render_config(model, version)
    (repository / model / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder
