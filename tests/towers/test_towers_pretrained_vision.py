"""The ViT and CLIP loaders, against what transformers makes of the same tiny checkpoints."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.pretrained_goldens import goldens, settings_of, weights_of, write_folder

from faults import InvalidInput
from towers.encoders.convnet import ConvNet
from towers.encoders.picture_encoder import MeanOfViews
from towers.encoders.picture_kinds import build_picture_encoder, sizes_of_pictures
from towers.encoders.picture_sets import DeepSets
from towers.encoders.pretrained_vision import load_vision_transformer, resized_places
from towers.encoders.vision_transformer import VisionTransformer, VisionTransformerConfig
from towers.recipe import ImageRecipe

CASES = ["vit", "vit_without_query_bias", "clip"]


def tokens(encoder: VisionTransformer, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The patches' tokens and the picture's vector, of one picture a product."""
    batch = torch.from_numpy(pixels)[:, None]
    with torch.no_grad():
        encoded = encoder.eval().encode(batch, torch.ones(len(batch), 1, dtype=torch.bool))
    return encoded.tokens, encoded.pooled


@pytest.mark.parametrize("size", [16, 24], ids=["the checkpoint's size", "another size"])
@pytest.mark.parametrize("case", CASES)
def test_the_encoder_gives_what_transformers_gives(tmp_path: Path, case: str, size: int) -> None:
    encoder = load_vision_transformer(write_folder(tmp_path, case), size)
    places, pooled = tokens(encoder, goldens(case)[f"pixels/{size}"])
    theirs = torch.from_numpy(goldens(case)[f"tokens/{size}"])
    torch.testing.assert_close(pooled, theirs[:, 0], rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(places, theirs[:, 1:], rtol=1e-4, atol=2e-5)


def test_the_vision_half_of_a_whole_clip_folder_is_taken(tmp_path: Path) -> None:
    whole = {"model_type": "clip", "vision_config": settings_of("clip"), "text_config": {"hidden_size": 4}}
    weights = {**weights_of("clip"), "text_model.final_layer_norm.weight": np.ones(4, dtype=np.float32)}
    encoder = load_vision_transformer(write_folder(tmp_path, "clip", whole, weights), 16)
    theirs = torch.from_numpy(goldens("clip")["tokens/16"])
    torch.testing.assert_close(
        tokens(encoder, goldens("clip")["pixels/16"])[1], theirs[:, 0], rtol=1e-4, atol=2e-5
    )


def test_weights_may_lie_under_the_model_s_name(tmp_path: Path) -> None:
    weights = {f"vit.{name}": value for name, value in weights_of("vit").items()}
    weights["classifier.weight"] = np.ones((3, 8), dtype=np.float32)
    encoder = load_vision_transformer(write_folder(tmp_path, "vit", weights=weights), 16)
    theirs = torch.from_numpy(goldens("vit")["tokens/16"])
    torch.testing.assert_close(
        tokens(encoder, goldens("vit")["pixels/16"])[1], theirs[:, 0], rtol=1e-4, atol=2e-5
    )


@pytest.mark.parametrize(
    ("case", "mean", "deviation"),
    [
        ("vit", [127.5] * 3, [127.5] * 3),
        ("clip", [122.7709, 116.7460, 104.0937], [68.5005, 66.6322, 70.3232]),
    ],
)
def test_without_a_preprocessor_file_the_family_s_normalisation_holds(
    tmp_path: Path, case: str, mean: list[float], deviation: list[float]
) -> None:
    config = load_vision_transformer(write_folder(tmp_path, case, preprocessor=False), 16).config
    assert list(config.mean) == pytest.approx(mean, abs=1e-3)
    assert list(config.deviation) == pytest.approx(deviation, abs=1e-3)


def test_what_a_config_leaves_out_has_the_family_s_default(tmp_path: Path) -> None:
    settings = settings_of("clip")
    for name in ("hidden_act", "layer_norm_eps", "num_channels"):
        del settings[name]
    config = load_vision_transformer(write_folder(tmp_path, "clip", settings), 16).config
    assert (config.activation, config.norm_epsilon) == ("quick_gelu", 1e-5)


def test_places_are_kept_at_their_own_size_and_cover_another_smoothly() -> None:
    rows = torch.linspace(0, 1, 4)
    table = torch.cat([torch.tensor([9.0]), rows.repeat_interleave(4)])[:, None]
    assert resized_places(table, 4) is table
    larger = resized_places(table, 8)[:, 0]
    assert larger[0] == 9.0
    grid = larger[1:].view(8, 8)
    torch.testing.assert_close(grid, grid[:, :1].expand(8, 8))
    assert bool((grid[1:, 0] > grid[:-1, 0]).all())


def changed(**changes: Any) -> dict[str, Any]:
    return {**settings_of("vit"), **changes}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (changed(model_type="swin"), "swin"),
        (changed(hidden_act="relu"), "relu"),
        (changed(num_channels=1), "channels"),
        (changed(num_hidden_layers=3), "encoder.layer.2"),
        (changed(hidden_size=16), "size mismatch"),
        (changed(patch_size=[4, 4]), "unsupported operand"),
        ({}, "model_type"),
    ],
)
def test_another_folder_is_refused_with_what_is_amiss(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        load_vision_transformer(write_folder(tmp_path, "vit", settings), 16)
    assert caught.value.field == "recipe.image.encoder"
    assert caught.value.value == str(tmp_path)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no ViT or CLIP vision checkpoint"):
        load_vision_transformer(tmp_path / "nowhere", 16)


def test_a_size_that_patches_do_not_fill_names_the_recipe_s_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_vision_transformer(write_folder(tmp_path, "vit"), 18)
    assert caught.value.field == "recipe.image.size"


def test_a_checkpoint_s_sizes_build_it_again_without_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "vit", "vit")
    image = ImageRecipe(encoder=str(folder), size=24)
    loaded = build_picture_encoder(image)
    stored = json.loads(json.dumps(asdict(load_vision_transformer(folder, 24).config)))
    rebuilt = build_picture_encoder(
        image.model_copy(update={"encoder": "gone"}), VisionTransformerConfig(**stored)
    )
    rebuilt.load_state_dict(loaded.state_dict())
    pixels = torch.from_numpy(goldens("vit")["pixels/24"])[:, None]
    there = torch.ones(len(pixels), 1, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(
            rebuilt.eval()(pixels, there), loaded.eval()(pixels, there), rtol=0, atol=0
        )


@pytest.mark.parametrize(
    ("fields", "kind", "width"),
    [
        ({"channels": [4, 6]}, ConvNet, 6),
        (
            {"encoder": "vit", "size": 16, "patch": 8, "layers": 1, "width": 16, "heads": 2},
            VisionTransformer,
            16,
        ),
    ],
)
def test_a_recipe_names_the_encoder_and_its_pooling(fields: dict[str, Any], kind: type, width: int) -> None:
    for pooling, pool in (("mean", MeanOfViews), ("deep_sets", DeepSets)):
        encoder = build_picture_encoder(ImageRecipe(**fields, pooling=pooling))
        assert isinstance(encoder, kind)
        assert encoder.width == width
        assert isinstance(encoder.get_submodule("pool"), pool)
        sizes = sizes_of_pictures(encoder)
        assert (sizes is None) == (kind is ConvNet)
