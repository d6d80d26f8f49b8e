"""Writes goldens.npz: tiny random checkpoints, and what transformers itself makes of them.

Needs transformers, torch, pillow and nothing of ours; the tests need none of it. Made with transformers
5.23.0 and torch 2.13.0, in an environment of its own:

    pip install transformers==5.23.0 torch==2.13.0 pillow
    python tests/towers/pretrained_goldens/make.py

For each case there are the files of the folder that transformers saves (settings as JSON, weights by name),
the inputs, and the outputs that its own model and image processor give.
"""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import (
    BertConfig,
    BertModel,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
PICTURES = {**SIZES, "image_size": 16, "patch_size": 4}


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """Every weight far from its initial value: whatever is swapped or left out shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model.eval()


def files(saved: list[object]) -> dict[str, np.ndarray]:
    """What ``save_pretrained`` writes, by file and name."""
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for thing in saved:
            thing.save_pretrained(folder)
        for path in sorted(folder.glob("*.json")):
            found[path.name] = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        weights = load_file(folder / "model.safetensors")
    return found | {f"weights/{key}": value for key, value in weights.items()}


def texts() -> dict[str, np.ndarray]:
    model = randomised(BertModel(BertConfig(vocab_size=40, max_position_embeddings=9, **SIZES)))
    ids = np.array([[2, 7, 9, 30, 3, 0, 0], [2, 8, 11, 12, 13, 14, 3], [2, 3, 0, 0, 0, 0, 0]])
    mask = (ids != 0).astype(np.int64)
    with torch.no_grad():
        hidden = model(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state
    return {**files([model]), "ids": ids, "mask": mask, "tokens": hidden.numpy()}


def vit(**changes: object) -> dict[str, np.ndarray]:
    model = randomised(ViTModel(ViTConfig(**{**PICTURES, **changes})))
    processor = ViTImageProcessor(do_resize=False, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4])
    found = files([model, processor])
    for size in (16, 24):
        pixels, values = pictures(processor, size)
        with torch.no_grad():
            hidden = model(values, interpolate_pos_encoding=size != 16).last_hidden_state
        found |= {f"pixels/{size}": pixels, f"tokens/{size}": hidden.numpy()}
    return found


def clip() -> dict[str, np.ndarray]:
    model = randomised(CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=4, **PICTURES)))
    processor = CLIPImageProcessor(do_resize=False, do_center_crop=False)
    found = files([model, processor])
    for size in (16, 24):
        pixels, values = pictures(processor, size)
        with torch.no_grad():
            answer = model.vision_model(values, interpolate_pos_encoding=size != 16)
            hidden = model.vision_model.post_layernorm(answer.last_hidden_state)
        torch.testing.assert_close(hidden[:, 0], answer.pooler_output)
        found |= {f"pixels/{size}": pixels, f"tokens/{size}": hidden.numpy()}
    return found


def pictures(processor: object, size: int) -> tuple[np.ndarray, torch.Tensor]:
    pixels = np.random.default_rng(size).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    return pixels, processor(images=list(pixels), return_tensors="pt")["pixel_values"]


def main() -> None:
    cases = {
        "bert": texts(),
        "vit": vit(),
        "vit_without_query_bias": vit(qkv_bias=False, num_hidden_layers=1, hidden_act="quick_gelu"),
        "clip": clip(),
    }
    arrays = {f"{case}/{name}": value for case, found in cases.items() for name, value in found.items()}
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    path = Path(__file__).with_name("goldens.npz")
    path.write_bytes(data.getvalue())
    print(json.dumps({"file": path.name, "bytes": path.stat().st_size}))  # noqa: T201


if __name__ == "__main__":
    main()
