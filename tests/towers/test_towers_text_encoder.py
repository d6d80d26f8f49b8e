import numpy as np
import pytest
import torch

from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig, masked_mean

CONFIG = TextEncoderConfig(vocabulary=50, width=16, layers=2, heads=2, feedforward=32, positions=12)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(3)
    encoder = TextEncoder(CONFIG).eval()
    with torch.no_grad():  # larger than trained ones: whatever leaks shows
        encoder.tokens.weight.normal_()
        encoder.places.weight.normal_()
    return encoder


def encode(encoder: TextEncoder, ids: list[list[int]], mask: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return encoder(torch.tensor(ids), torch.tensor(mask))


def test_the_masked_mean_is_the_mean_over_the_present_places() -> None:
    hidden = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    present = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 0]], dtype=np.float32)
    hidden[present == 0] = 1e6
    found = masked_mean(torch.from_numpy(hidden), torch.from_numpy(present)).numpy()
    np.testing.assert_allclose(found[0], hidden[0, :2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[1], hidden[1, [0, 2, 3]].mean(axis=0), rtol=1e-6)


def test_the_masked_mean_of_nothing_is_zero_and_no_nan() -> None:
    assert masked_mean(torch.ones(1, 4, 3), torch.zeros(1, 4)).tolist() == [[0.0, 0.0, 0.0]]


def test_padding_moves_no_vector_whatever_ids_it_carries(encoder: TextEncoder) -> None:
    alone = encode(encoder, [[2, 7, 9, 3]], [[1, 1, 1, 1]])
    padded = encode(encoder, [[2, 7, 9, 3, 0, 0, 0, 0]], [[1, 1, 1, 1, 0, 0, 0, 0]])
    junk = encode(encoder, [[2, 7, 9, 3, 41, 42, 43, 44]], [[1, 1, 1, 1, 0, 0, 0, 0]])
    torch.testing.assert_close(alone, padded, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, junk, rtol=0, atol=1e-5)


def test_neighbours_in_the_batch_move_no_vector(encoder: TextEncoder) -> None:
    alone = encode(encoder, [[2, 7, 3]], [[1, 1, 1]])
    ids = [[2, 7, 3, 0, 0, 0], [2, 30, 31, 32, 33, 3], [2, 3, 0, 0, 0, 0]]
    mask = [[1, 1, 1, 0, 0, 0], [1] * 6, [1, 1, 0, 0, 0, 0]]
    torch.testing.assert_close(encode(encoder, ids, mask)[:1], alone, rtol=0, atol=1e-5)


def test_words_and_their_order_do_move_it(encoder: TextEncoder) -> None:
    ids = [[2, 7, 9, 3], [2, 7, 10, 3], [2, 9, 7, 3]]
    first, other_word, other_order = encode(encoder, ids, [[1] * 4] * 3)
    assert (first - other_word).abs().max() > 0.05
    assert (first - other_order).abs().max() > 0.05


@pytest.mark.parametrize(
    ("trainable", "free"),
    [
        (0, {"tokens", "places", "input_norm", "blocks.0", "blocks.1"}),
        (1, {"blocks.1"}),
        (2, {"blocks.0", "blocks.1"}),
    ],
)
def test_freezing_fixes_the_embeddings_and_the_lower_layers(trainable: int, free: set[str]) -> None:
    encoder = TextEncoder(CONFIG)
    encoder.freeze_below(trainable)
    found = {
        ".".join(name.split(".")[: 2 if name.startswith("blocks") else 1])
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad
    }
    assert found == free
