"""Picture encoders that start from a ViT or a CLIP vision checkpoint in a local Hugging Face folder.

Nothing is downloaded here. ``model_type`` vit (google/vit-base-patch16-224 and its like),
clip_vision_model and clip (its vision half) are known.

Where the two differ, the difference goes into the graph: each normalises pixels by its own mean and
deviation, CLIP also normalises the tokens before the first layer, has no bias on its patches, and uses
the quick GELU. Both put a class token before the patches; its last output, behind the last LayerNorm,
is the picture's vector. (CLIP's own model leaves the patches without that norm, for it never uses them;
ours normalises them too, so that a fusion network sees one scale. [DESIGN])

Two things are Vitrine's whatever the folder says: pictures are letter-boxed rather than cropped, and
they have the recipe's size. Where that is not the checkpoint's, its table of places is interpolated once,
when it is loaded (bicubic, as transformers does on request).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from faults import InvalidInput
from towers.encoders.checkpoint_folder import read_settings, read_weights, refusing
from towers.encoders.vision_transformer import VisionTransformer, VisionTransformerConfig

_FIX = "Name convnet, vit, or a folder with config.json and model.safetensors of a ViT or CLIP encoder."

_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "num_channels": 3,
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "vit": {**_BASE, "patch_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True},
    "clip_vision_model": {
        **_BASE, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "qkv_bias": True,
    },
}  # fmt: skip
"""What a config.json may leave out, by model_type: the values of transformers' own configurations."""

_HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_CLIP = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_PIXELS = {"vit": _HALF, "clip_vision_model": _CLIP}
"""Used where the folder has no preprocessor_config.json."""

_VIT_LAYER = {
    "layernorm_before": "attention_norm",
    "attention.attention.query": "query",
    "attention.attention.key": "key",
    "attention.attention.value": "value",
    "attention.output.dense": "output",
    "layernorm_after": "feedforward_norm",
    "intermediate.dense": "expand",
    "output.dense": "contract",
}
_CLIP_LAYER = {
    "layer_norm1": "attention_norm",
    "self_attn.q_proj": "query",
    "self_attn.k_proj": "key",
    "self_attn.v_proj": "value",
    "self_attn.out_proj": "output",
    "layer_norm2": "feedforward_norm",
    "mlp.fc1": "expand",
    "mlp.fc2": "contract",
}


def load_vision_transformer(folder: Path, size: int) -> VisionTransformer:
    """Builds a vision transformer for pictures of ``size`` and fills it from the checkpoint in ``folder``.

    Args:
        folder: a local Hugging Face checkpoint.
        size: side of the pictures in pixels; a multiple of the checkpoint's patches.

    Raises:
        InvalidInput: the folder holds no such checkpoint, or its patches do not fit ``size``.
    """
    with refusing(folder, "ViT or CLIP vision", "recipe.image.encoder", _FIX):
        settings, kind = _settings(folder)
        config = _config(settings, kind, size, _pixel_settings(folder, kind))
        weights = read_weights(folder)
        state = _clip_state(weights, config) if kind == "clip_vision_model" else _vit_state(weights, config)
        state["places"] = resized_places(state["places"], config.grid)
        encoder = VisionTransformer(config)
        encoder.load_state_dict(state)
    return encoder


def resized_places(places: Tensor, grid: int) -> Tensor:
    """Maps a table of places, float[1 + n * n,width] with the class token first, to ``grid`` x ``grid``.

    Bicubic over the patches' places, the class token's is kept; the same table where n is ``grid``.
    """
    before = round((len(places) - 1) ** 0.5)
    if before == grid:
        return places
    table = places[1:].reshape(1, before, before, -1).permute(0, 3, 1, 2)
    table = F.interpolate(table, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([places[:1], table.permute(0, 2, 3, 1).reshape(grid * grid, -1)])


def _settings(folder: Path) -> tuple[Mapping[str, Any], str]:
    """The vision half of config.json, with defaults filled in, and its model_type."""
    whole = read_settings(folder)
    kind = str(whole.get("model_type"))
    if kind == "clip":
        whole, kind = whole["vision_config"], "clip_vision_model"
    if kind not in _DEFAULTS:
        raise InvalidInput(f"its model_type is {kind}; known are vit, clip_vision_model and clip")
    settings = {**_DEFAULTS[kind], **whole}
    if settings["hidden_act"] not in ("gelu", "quick_gelu"):
        raise InvalidInput(f"its hidden_act is {settings['hidden_act']}; known are gelu and quick_gelu")
    if settings["num_channels"] != 3:
        raise InvalidInput(f"its pictures have {settings['num_channels']} channels, not 3")
    return settings, kind


def _pixel_settings(folder: Path, kind: str) -> Mapping[str, Any]:
    """How the checkpoint wants pixels normalised."""
    defaults: Mapping[str, Any] = {"do_normalize": True, "rescale_factor": 1 / 255, **_PIXELS[kind]}
    if not (folder / "preprocessor_config.json").exists():
        return defaults
    return {**defaults, **read_settings(folder, "preprocessor_config.json")}


def _config(
    settings: Mapping[str, Any], kind: str, size: int, pixels: Mapping[str, Any]
) -> VisionTransformerConfig:
    unit = 1 / float(pixels["rescale_factor"])  # their pixel of 1, in ours of 0 to 255
    normalised = bool(pixels["do_normalize"])
    return VisionTransformerConfig(
        size=size,
        patch=settings["patch_size"],
        width=settings["hidden_size"],
        layers=settings["num_hidden_layers"],
        heads=settings["num_attention_heads"],
        feedforward=settings["intermediate_size"],
        norm_epsilon=settings["layer_norm_eps"],
        activation=settings["hidden_act"],
        class_token=True,
        patch_bias=kind == "vit",
        query_bias=settings["qkv_bias"],
        first_norm=kind == "clip_vision_model",
        mean=tuple(unit * value if normalised else 0.0 for value in pixels["image_mean"]),
        deviation=tuple(unit * value if normalised else unit for value in pixels["image_std"]),
    )


def _vit_state(weights: Mapping[str, Tensor], config: VisionTransformerConfig) -> dict[str, Tensor]:
    weights = {name.removeprefix("vit."): value for name, value in weights.items()}
    return {
        "class_token": weights["embeddings.cls_token"].flatten(),
        "places": weights["embeddings.position_embeddings"][0],
        **_linear(weights, "embeddings.patch_embeddings.projection", "patches"),
        **_linear(weights, "layernorm", "last_norm"),
        **_layers(weights, "encoder.layer", _VIT_LAYER, config),
    }


def _clip_state(weights: Mapping[str, Tensor], config: VisionTransformerConfig) -> dict[str, Tensor]:
    weights = {name.removeprefix("vision_model."): value for name, value in weights.items()}
    return {
        "class_token": weights["embeddings.class_embedding"].flatten(),
        "places": weights["embeddings.position_embedding.weight"],
        "patches.weight": weights["embeddings.patch_embedding.weight"],
        **_linear(weights, "pre_layrnorm", "first_norm"),  # so spelt in every CLIP checkpoint
        **_linear(weights, "post_layernorm", "last_norm"),
        **_layers(weights, "encoder.layers", _CLIP_LAYER, config),
    }


def _layers(
    weights: Mapping[str, Tensor], stem: str, names: Mapping[str, str], config: VisionTransformerConfig
) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for layer in range(config.layers):
        for theirs, ours in names.items():
            biased = config.query_bias or ours not in ("query", "key", "value")
            state |= _linear(weights, f"{stem}.{layer}.{theirs}", f"blocks.{layer}.{ours}", biased)
    return state


def _linear(weights: Mapping[str, Tensor], theirs: str, ours: str, biased: bool = True) -> dict[str, Tensor]:
    kinds = ("weight", "bias") if biased else ("weight",)
    return {f"{ours}.{kind}": weights[f"{theirs}.{kind}"] for kind in kinds}
