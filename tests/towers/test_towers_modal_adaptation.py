"""Modal Adaptation: honest weights, no influence of what is missing or padded, and the same in ONNX."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from support.tiny_shop import SIZE, tiny_recipe
from torch import Tensor

from export.onnx_export import TowerGraph, export_onnx
from towers.build import build_towers
from towers.encoders.encoded import Encoded, masked_mean
from towers.fusion.modal_adaptation import ModalAdaptation
from towers.towers import ProductTower
from towers.vectors import unit

DIM, TEXT_WIDTH, IMAGE_WIDTH, LENGTH, PLACES = 12, 8, 6, 5, 4
BOTH, WORDS, PICTURE = [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]


def moved(module: torch.nn.Module, seed: int = 0) -> None:
    """Moves every weight away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value += 0.3 * torch.rand(value.shape, generator=generator)


def fusion(untrained: bool = False) -> ModalAdaptation:
    torch.manual_seed(0)
    made = ModalAdaptation(DIM, TEXT_WIDTH, IMAGE_WIDTH)
    if not untrained:
        moved(made)
    return made.eval()


def sequence(rows: int, length: int, width: int, seed: int) -> Encoded:
    tokens = torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(rows, length)
    return Encoded(tokens, mask, masked_mean(tokens, mask))


def vectors(rows: int, seed: int) -> Tensor:
    return unit(torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed)))


def fuse(
    present: list[float],
    text: int = 1,
    image: int = 2,
    made: ModalAdaptation | None = None,
) -> tuple[Tensor, Tensor]:
    """One product of the given seeds of its words and of its picture."""
    parts = (sequence(1, LENGTH, TEXT_WIDTH, text), sequence(1, PLACES, IMAGE_WIDTH, image))
    with torch.no_grad():
        return (made or fusion())(*parts, vectors(1, text), vectors(1, image), torch.tensor([present]))


def test_it_begins_as_the_even_mean_of_both_vectors() -> None:
    fused, weights = fuse(BOTH, made=fusion(untrained=True))
    assert weights.tolist() == [[0.5, 0.5]]
    torch.testing.assert_close(fused, unit(vectors(1, 1) + vectors(1, 2)), rtol=0, atol=1e-6)


def test_vectors_have_length_1_and_weights_sum_to_1() -> None:
    fused, weights = fuse(BOTH)
    assert fused.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert weights[0, 0].item() != pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("part", ["text", "image"])
def test_the_sequences_matter_and_not_the_vectors_alone(part: str) -> None:
    text, image = sequence(1, LENGTH, TEXT_WIDTH, 1), sequence(1, PLACES, IMAGE_WIDTH, 2)
    other = {"text": sequence(1, LENGTH, TEXT_WIDTH, 7), "image": sequence(1, PLACES, IMAGE_WIDTH, 7)}
    rest = (vectors(1, 1), vectors(1, 2), torch.tensor([BOTH]))
    with torch.no_grad():
        before, _ = fusion()(text, image, *rest)
        after, _ = fusion()(other.get("text") if part == "text" else text,
                            other.get("image") if part == "image" else image, *rest)  # fmt: skip
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize(("present", "absent"), [(WORDS, "image"), (PICTURE, "text")])
def test_what_is_missing_has_weight_0_and_leaves_every_bit_as_it_is(
    present: list[float], absent: str
) -> None:
    fused, weights = fuse(present)
    assert weights.tolist() == [present]
    for seed in (5, 6):
        other, same = fuse(present, **{absent: seed})
        assert torch.equal(other, fused)
        assert torch.equal(same, weights)


@pytest.mark.parametrize(("present", "own"), [(WORDS, 1), (PICTURE, 2)])
def test_a_modality_alone_is_its_own_vector(present: list[float], own: int) -> None:
    torch.testing.assert_close(fuse(present)[0], vectors(1, own), rtol=0, atol=1e-6)


def test_no_number_is_lost_where_both_are_missing() -> None:
    fused, weights = fuse([0.0, 0.0])
    assert torch.isfinite(fused).all()
    assert torch.isfinite(weights).all()


@pytest.mark.parametrize("present", [BOTH, WORDS])
def test_nothing_that_is_missing_gets_a_gradient(present: list[float]) -> None:
    text, image = sequence(1, LENGTH, TEXT_WIDTH, 1), sequence(1, PLACES, IMAGE_WIDTH, 2)
    tokens, vector = image.tokens.requires_grad_(), vectors(1, 2).requires_grad_()
    fused, _ = fusion()(text, image, vectors(1, 1), vector, torch.tensor([present]))
    fused[0, 0].backward()
    assert tokens.grad is not None
    assert vector.grad is not None
    reached = present == BOTH
    assert (tokens.grad.abs().max() > 0) == (vector.grad.abs().max() > 0) == reached


def test_padding_and_neighbours_do_not_move_a_product() -> None:
    alone, weights = fuse(BOTH)
    text, image = sequence(1, LENGTH, TEXT_WIDTH, 1), sequence(1, PLACES, IMAGE_WIDTH, 2)
    stray = (sequence(2, LENGTH + 3, TEXT_WIDTH, 8), sequence(2, PLACES + 2, IMAGE_WIDTH, 9))
    padded = []
    for part, other in zip((text, image), stray, strict=True):
        tokens, mask = other.tokens.clone(), other.mask.clone()
        length = part.tokens.shape[1]
        tokens[0, :length], mask[0, length:] = part.tokens[0], 0.0
        padded.append(Encoded(tokens, mask, masked_mean(tokens, mask)))
    with torch.no_grad():
        together, all_weights = fusion()(
            *padded,
            torch.cat([vectors(1, 1), vectors(1, 3)]),
            torch.cat([vectors(1, 2), vectors(1, 4)]),
            torch.tensor([BOTH, BOTH]),
        )
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(all_weights[:1], weights, rtol=0, atol=1e-6)


def test_the_order_of_the_places_does_not_matter() -> None:
    text, image = sequence(1, LENGTH, TEXT_WIDTH, 1), sequence(1, PLACES, IMAGE_WIDTH, 2)
    turned = image._replace(tokens=image.tokens.flip(1))
    rest = (vectors(1, 1), vectors(1, 2), torch.tensor([BOTH]))
    with torch.no_grad():
        torch.testing.assert_close(fusion()(text, turned, *rest), fusion()(text, image, *rest))


def test_the_gate_learns_which_modality_tells() -> None:
    """Half of the products are told by their words, half by their pictures; the words say which."""
    torch.manual_seed(0)
    made = ModalAdaptation(DIM, TEXT_WIDTH, IMAGE_WIDTH).train()
    rows = 32
    by_text = torch.arange(rows) % 2 == 0
    text, image = sequence(rows, LENGTH, TEXT_WIDTH, 1), sequence(rows, PLACES, IMAGE_WIDTH, 2)
    told, shown = vectors(rows, 3), vectors(rows, 4)
    told = unit(told + 2.0 * torch.where(by_text, 1.0, -1.0)[:, None] * vectors(1, 5))
    wanted = torch.where(by_text[:, None], told, shown)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    for _ in range(60):
        fused, weights = made(text, image, told, shown, torch.ones(rows, 2))
        loss = (1 - (fused * wanted).sum(dim=1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert weights[by_text, 0].mean() > weights[~by_text, 0].mean() + 0.3


@pytest.fixture(scope="module")
def tower() -> ProductTower:
    torch.manual_seed(0)
    recipe = tiny_recipe(
        fusion={"kind": "modal_adaptation"}, image={"size": SIZE, "channels": [8, 8], "views": 2}
    )
    towers = build_towers(recipe, ["red mug", "blue lamp", "green chair"])
    moved(towers.product)
    towers.train(False)
    return towers.product


def test_the_exported_tower_gives_the_same_and_padding_does_not_move_it(
    tower: ProductTower, tmp_path: Path
) -> None:
    ids = torch.tensor([[2, 20, 21, 3, 0, 0], [2, 5, 6, 7, 8, 3], [2, 3, 0, 0, 0, 0], [2, 9, 3, 0, 0, 0]])
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (4, 2, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    has_text = torch.tensor([[True], [True], [False], [True]])
    has_image = torch.tensor([[True, False], [True, True], [False, True], [False, False]])
    inputs = (ids, (ids > 0).long(), pixels, has_text, has_image)
    names = ("input_ids", "attention_mask", "pixels", "has_text", "has_image")
    tokens, rows = {0: "batch", 1: "length"}, {0: "batch"}
    graph = TowerGraph(
        "product_tower",
        tower,
        names,
        ("product_embedding", "modality_weights"),
        tuple(one[:3] for one in inputs),
        (tokens, tokens, rows, rows, rows),
        {},
    )
    export_onnx(graph, tmp_path / "tower.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "tower.onnx", providers=["CPUExecutionProvider"])

    def run(*given: Tensor) -> list[np.ndarray]:
        return session.run(None, {name: one.numpy() for name, one in zip(names, given, strict=True)})

    with torch.no_grad():
        expected = [value.numpy() for value in tower(*inputs)]
    for found, own in zip(run(*inputs), expected, strict=True):
        np.testing.assert_allclose(found, own, rtol=0, atol=1e-5)
    assert expected[1][2].tolist() == [0.0, 1.0]
    assert expected[1][3].tolist() == [1.0, 0.0]
    for length in (6, 8, 16):
        padded = [torch.nn.functional.pad(one, (0, length - 6)) for one in inputs[:2]]
        for found, own in zip(run(*padded, *inputs[2:]), expected, strict=True):
            np.testing.assert_allclose(found, own, rtol=0, atol=1e-5)
    for row in range(4):
        for found, own in zip(run(*(one[row : row + 1] for one in inputs)), expected, strict=True):
            np.testing.assert_allclose(found, own[row : row + 1], rtol=0, atol=1e-5)
