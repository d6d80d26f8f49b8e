"""The vision transformer: what moves its vectors and what must not, and that it exports as it is."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor

from export.onnx_export import TowerGraph, export_onnx
from faults import InvalidInput
from towers.encoders.encoded import Encoded
from towers.encoders.vision_transformer import VisionTransformer, VisionTransformerConfig

PLAIN = VisionTransformerConfig(size=16, patch=8, width=12, layers=2, heads=2, feedforward=24)
CLIP_LIKE = VisionTransformerConfig(
    size=16,
    patch=4,
    width=8,
    layers=1,
    heads=2,
    feedforward=16,
    activation="quick_gelu",
    class_token=True,
    patch_bias=False,
    query_bias=False,
    first_norm=True,
    mean=(120.0, 110.0, 100.0),
    deviation=(60.0, 62.0, 64.0),
)


def made(config: VisionTransformerConfig, seed: int = 0) -> VisionTransformer:
    """Every weight moved from its initial value: whatever leaks shows."""
    torch.manual_seed(seed)
    encoder = VisionTransformer(config)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return encoder.eval()


@pytest.fixture(scope="module", params=[PLAIN, CLIP_LIKE], ids=["plain", "as CLIP"])
def encoder(request: pytest.FixtureRequest) -> VisionTransformer:
    return made(request.param)


def pictures(products: int, views: int, seed: int = 1) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (products, views, 16, 16, 3), dtype=np.uint8))


def encode(encoder: VisionTransformer, pixels: Tensor, there: list[list[bool]]) -> Encoded:
    with torch.no_grad():
        return encoder.encode(pixels, torch.tensor(there))


def test_tokens_are_the_places_of_all_views_in_order(encoder: VisionTransformer) -> None:
    pixels = pictures(2, 3)
    places = encoder.config.grid**2
    found = encode(encoder, pixels, [[True, True, False], [True, False, True]])
    assert found.tokens.shape == (2, 3 * places, encoder.width)
    assert found.mask.tolist() == [
        [1.0] * 2 * places + [0.0] * places,
        [1.0] * places + [0.0] * places + [1.0] * places,
    ]
    alone = encode(encoder, pixels[1:, 2:], [[True]])
    torch.testing.assert_close(found.tokens[1:, 2 * places :], alone.tokens, rtol=0, atol=1e-5)


def test_a_products_vector_is_the_mean_of_its_pictures(encoder: VisionTransformer) -> None:
    pixels = pictures(1, 3)
    each = [encode(encoder, pixels[:, view : view + 1], [[True]]).pooled for view in (0, 2)]
    found = encode(encoder, pixels, [[True, False, True]]).pooled
    torch.testing.assert_close(found, (each[0] + each[1]) / 2, rtol=0, atol=1e-5)


def test_absent_pictures_order_and_neighbours_move_no_vector(encoder: VisionTransformer) -> None:
    pixels = pictures(1, 3)
    found = encode(encoder, pixels, [[True, False, True]]).pooled
    junk = pixels.clone()
    junk[:, 1] = 255
    torch.testing.assert_close(encode(encoder, junk, [[True, False, True]]).pooled, found, rtol=0, atol=0)
    turned = encode(encoder, pixels.flip(1), [[True, False, True]]).pooled
    torch.testing.assert_close(turned, found, rtol=0, atol=1e-5)
    crowd = torch.cat([pictures(3, 3, seed=2), pixels])
    among = encode(encoder, crowd, [[True] * 3, [False] * 3, [False, True, True], [True, False, True]])
    torch.testing.assert_close(among.pooled[3:], found, rtol=0, atol=1e-5)
    assert among.pooled[1].tolist() == [0.0] * encoder.width


def test_places_and_colours_do_move_it(encoder: VisionTransformer) -> None:
    pixels = pictures(1, 1)
    swapped = torch.cat([pixels[:, :, 8:], pixels[:, :, :8]], dim=2)  # the same patches elsewhere
    recoloured = pixels.flip(-1)
    first = encode(encoder, pixels, [[True]]).pooled
    for other in (swapped, recoloured):
        assert (encode(encoder, other, [[True]]).pooled - first).abs().max() > 0.01


def test_normalisation_is_the_configurations() -> None:
    config = asdict(CLIP_LIKE)
    shifted = VisionTransformerConfig(**{**config, "mean": [130.0, 120.0, 110.0]})
    one, other = made(CLIP_LIKE), made(shifted)
    pixels = torch.full((1, 1, 16, 16, 3), 90, dtype=torch.uint8)
    found = encode(one, pixels, [[True]]).pooled
    torch.testing.assert_close(encode(other, pixels + 10, [[True]]).pooled, found, rtol=0, atol=1e-5)
    assert not {"mean", "deviation"} & set(one.state_dict())  # they are the configuration's, not learned


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"size": 20}, "recipe.image.size"), ({"heads": 5}, "recipe.image.width")],
)
def test_sizes_that_do_not_go_into_each_other_are_refused(changes: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        VisionTransformerConfig(**{**asdict(PLAIN), **changes})
    assert caught.value.field == field


def test_it_learns_to_tell_two_kinds_of_pictures_apart() -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer(PLAIN)
    head = torch.nn.Linear(encoder.width, 1)
    pixels = pictures(16, 1, seed=3)
    label = torch.arange(16).remainder(2).float()
    pixels[label == 1, :, :8] //= 2  # a darker upper half
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(40):
        scores = head(encoder(pixels, torch.ones(16, 1, dtype=torch.bool)))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, label)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert bool(((scores > 0) == (label > 0)).all())


def test_it_exports_with_a_free_batch_and_gives_the_same(encoder: VisionTransformer, tmp_path: Path) -> None:
    example = (pictures(3, 2), torch.ones(3, 2, dtype=torch.bool))
    rows = {0: "batch"}
    names = ("pixels", "has_image")
    graph = TowerGraph("product_tower", encoder, names, ("pooled",), example, (rows, rows), {})
    export_onnx(graph, tmp_path / "vit.onnx")
    session = ort.InferenceSession(str(tmp_path / "vit.onnx"), providers=["CPUExecutionProvider"])
    for products in (1, 4):
        pixels, there = pictures(products, 2, seed=products), np.ones((products, 2), dtype=np.bool_)
        there[-1, 1] = False
        (found,) = session.run(None, {"pixels": pixels.numpy(), "has_image": there})
        expected = encode(encoder, pixels, there.tolist()).pooled
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
