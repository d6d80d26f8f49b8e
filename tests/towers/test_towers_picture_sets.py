import itertools
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from towers.encoders.convnet import ConvNet
from towers.encoders.encoded import masked_mean
from towers.encoders.picture_sets import DeepSets

WIDTH, VIEWS = 6, 3


def trained_looking(seed: int = 0) -> DeepSets:
    """Its last layer begins at zero: moved, so that the network has a say."""
    torch.manual_seed(seed)
    pool = DeepSets(WIDTH, hidden=5)
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return pool.eval()


def drawn(products: int = 4) -> Tensor:
    return torch.randn(products, VIEWS, WIDTH, generator=torch.Generator().manual_seed(3))


THERE = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)


def test_the_order_of_the_pictures_does_not_matter() -> None:
    pool, views = trained_looking(), drawn()
    expected = pool(views, THERE)
    for order in itertools.permutations(range(VIEWS)):
        torch.testing.assert_close(pool(views[:, order], THERE[:, order]), expected)
    assert not torch.allclose(pool(views.flip(0), THERE), expected)


def test_an_absent_picture_has_no_influence_and_no_picture_is_a_zero() -> None:
    pool, views = trained_looking(), drawn()
    expected = pool(views, THERE)
    assert torch.equal(pool(views + 9.0 * ~THERE[..., None], THERE), expected)
    torch.testing.assert_close(pool(views[1:2, [0, 2]], THERE[1:2, [0, 2]]), expected[1:2])
    assert expected[3].abs().max() == 0
    assert expected[:3].abs().amax(dim=1).min() > 0


def test_it_begins_as_the_mean_and_is_more_once_it_learned() -> None:
    views, present = drawn(), THERE.float()
    mean = masked_mean(views, present)
    assert torch.equal(DeepSets(WIDTH)(views, present), mean)
    pool = trained_looking()
    assert not torch.allclose(pool(views, present)[:3], mean[:3], atol=0.05)
    # Sets of equal means are told apart: the mean of the pictures alone could not.
    two = views[0, :2]
    one, other = pool(torch.stack([two, two.mean(dim=0).expand(2, -1)]), torch.ones(2, 2))
    assert (one - other).abs().max() > 1e-3


def test_all_of_it_learns() -> None:
    pool = DeepSets(WIDTH)
    for _ in range(2):  # the first step opens the last layer, and with it the way to phi
        pool.zero_grad()
        pool(drawn(), THERE).square().sum().backward()
        with torch.no_grad():
            for parameter in pool.parameters():
                parameter -= 0.1 * parameter.grad  # type: ignore[operator]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in pool.parameters())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ConvNet, Path]:
    torch.manual_seed(0)
    encoder = ConvNet((4, WIDTH), trained_looking()).eval()
    path = tmp_path_factory.mktemp("exported") / "pictures.onnx"
    example = (torch.zeros(3, VIEWS, 16, 16, 3, dtype=torch.uint8), torch.ones(3, VIEWS, dtype=torch.bool))
    batch = {0: torch.export.Dim("batch", min=1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own internals
        torch.onnx.export(
            encoder,
            example,
            str(path),
            input_names=["pixels", "has_image"],
            opset_version=20,
            dynamic_shapes=(batch, batch),
            dynamo=True,
            verbose=False,
        )
    return encoder, path


@pytest.mark.parametrize("rows", [1, 5])
def test_a_convnet_with_it_is_exported_with_any_batch(rows: int, exported: tuple[ConvNet, Path]) -> None:
    encoder, path = exported
    random = np.random.default_rng(rows)
    pixels = random.integers(0, 256, (rows, VIEWS, 16, 16, 3), dtype=np.uint8)
    has_image = random.random((rows, VIEWS)) < 0.6
    found = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels, "has_image": has_image})[0]
    with torch.no_grad():
        expected = encoder(torch.from_numpy(pixels), torch.from_numpy(has_image))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
