"""Every fusion network: unit vectors, honest weights, and no influence of what is not there."""

import io
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from towers.encoders.encoded import Encoded
from towers.fusion.base import Fusion
from towers.fusion.concat import Concatenation
from towers.fusion.fusion_token import FusionToken
from towers.fusion.text_only import TextOnly
from towers.vectors import unit

DIM, TEXT, IMAGE = 12, 6, 5
PRESENT = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
KINDS = [Concatenation, FusionToken, TextOnly]


def fusion(kind: type[Fusion]) -> Fusion:
    """One whose every weight was moved away from its initial value."""
    torch.manual_seed(3)
    module = kind(DIM, TEXT, IMAGE)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.eval()


def inputs(seed: int = 0) -> tuple[Encoded, Encoded, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)

    def encoded(width: int) -> Encoded:
        tokens = torch.randn(len(PRESENT), 4, width, generator=random)
        return Encoded(tokens, torch.ones(len(PRESENT), 4), tokens.mean(dim=1))

    vectors = [unit(torch.randn(len(PRESENT), DIM, generator=random)) for _ in range(2)]
    return encoded(TEXT), encoded(IMAGE), *vectors


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_unit_and_weights_sum_to_one_with_zero_for_what_is_missing(kind: type[Fusion]) -> None:
    fused, weights = fusion(kind)(*inputs(), PRESENT)
    torch.testing.assert_close(fused.norm(dim=1), torch.ones(len(PRESENT)))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(PRESENT)))
    assert (weights >= 0).all()
    assert weights[1].tolist() == [1.0, 0.0]
    assert weights[2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_has_no_influence_and_what_is_there_has(kind: type[Fusion]) -> None:
    module, first, other = fusion(kind), inputs(0), inputs(1)
    fused, weights = module(*first, PRESENT)
    no_words = torch.where(PRESENT[:, :1] > 0, first[2], 100 * other[2])
    no_picture = torch.where(PRESENT[:, 1:] > 0, first[3], 100 * other[3])
    changed = module(first[0], first[1], no_words, no_picture, PRESENT)
    assert torch.equal(changed[0][:3], fused[:3])  # to the last bit
    assert torch.equal(changed[1][:3], weights[:3])
    moved = module(first[0], first[1], other[2], first[3], PRESENT)[0]
    assert (moved - fused).abs().amax(dim=1)[[0, 1]].min() > 0.01
    assert torch.equal(moved[2], fused[2])


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_in_a_batch_move_no_vector(kind: type[Fusion]) -> None:
    module, whole = fusion(kind), inputs()
    together = module(*whole, PRESENT)
    for row in range(len(PRESENT)):
        part = slice(row, row + 1)
        texts, images = (Encoded(*(field[part] for field in encoded)) for encoded in whole[:2])
        alone = module(texts, images, whole[2][part], whole[3][part], PRESENT[part])
        torch.testing.assert_close(alone[0][0], together[0][row], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone[1][0], together[1][row], rtol=0, atol=1e-6)


def test_a_text_only_product_is_its_words_alone() -> None:
    _, _, words, pictures = inputs()
    fused, weights = fusion(TextOnly)(*inputs(), PRESENT)
    assert weights[0].tolist() == [1.0, 0.0]
    torch.testing.assert_close(fused[0], words[0])
    torch.testing.assert_close(fused[2], pictures[2])  # it has nothing else


def test_concatenation_has_no_gate_its_weights_say_what_is_there() -> None:
    first, second = (fusion(Concatenation)(*inputs(seed), PRESENT)[1] for seed in (0, 1))
    assert first[0].tolist() == [0.5, 0.5]
    assert torch.equal(first, second)


def test_the_fusion_token_starts_as_the_mean_of_both_and_as_the_one_that_is_there() -> None:
    torch.manual_seed(0)
    first = inputs()
    fused, weights = FusionToken(DIM, TEXT, IMAGE)(*first, PRESENT)
    assert weights[0].tolist() == [0.5, 0.5]
    for row, expected in ((0, first[2][0] + first[3][0]), (1, first[2][1]), (2, first[3][2])):
        centred = expected - expected.mean()  # LayerNorm takes the mean off
        torch.testing.assert_close(fused[row], unit(centred[None])[0], atol=1e-4, rtol=0)


def test_the_fusion_token_learns_which_modality_to_heed() -> None:
    """Right is the picture where the first entry of the words is positive, else the words."""
    torch.manual_seed(0)
    module = FusionToken(DIM, TEXT, IMAGE)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    random = torch.Generator().manual_seed(1)
    blank = Encoded(torch.zeros(64, 1, 1), torch.ones(64, 1), torch.zeros(64, 1))
    for _ in range(120):
        words, pictures = (unit(torch.randn(64, DIM, generator=random)) for _ in range(2))
        looks = words[:, 0] > 0
        fused, weights = module(blank, blank, words, pictures, torch.ones(64, 2))
        loss = -(fused * torch.where(looks[:, None], pictures, words)).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert weights[looks, 1].mean() > weights[~looks, 1].mean() + 0.2


@pytest.mark.parametrize(("dim", "heads"), [(12, 4), (6, 3), (10, 2), (7, 1)])
def test_the_heads_divide_any_dimension(dim: int, heads: int) -> None:
    assert FusionToken(dim, TEXT, IMAGE).heads == heads


class _Exported(nn.Module):
    """Takes the vectors and flags, as the exporter has no named tuples."""

    def __init__(self, inner: Fusion) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, words: torch.Tensor, pictures: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        blank = Encoded(words[:, None], torch.ones_like(words[:, :1]), words)
        return self.inner(blank, blank, words, pictures, present)


@pytest.mark.parametrize("kind", KINDS)
def test_it_exports_with_any_batch(kind: type[Fusion]) -> None:
    module = _Exported(fusion(kind)).eval()
    _, _, words, pictures = inputs()
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's internals
        program = torch.onnx.export(
            module,
            (words[:3], pictures[:3], PRESENT[:3]),
            input_names=["words", "pictures", "present"],
            opset_version=20,
            dynamic_shapes=({0: batch},) * 3,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    file = io.BytesIO()
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for rows in (1, 5):
        feed = {"words": words[:rows], "pictures": pictures[:rows], "present": PRESENT[:rows]}
        found = session.run(None, {name: value.numpy() for name, value in feed.items()})
        expected = module(*feed.values())
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other.detach().numpy(), atol=1e-5)
