from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_recipe
from torch import Tensor, nn

from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.data.examples import Batch
from towers.encoders.convnet import ConvNet
from towers.encoders.vision_transformer import VisionTransformer, VisionTransformerConfig
from towers.objectives import masked_patches as mpm
from towers.objectives.term import Forward

SIZE, SIDE, WIDTH = 16, 4, 8


def drawn(products: int, views: int = 1, seed: int = 0) -> Tensor:
    """Pictures that differ everywhere."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (products, views, SIZE, SIZE, 3), dtype=np.uint8))


def encoder(seed: int = 0) -> ConvNet:
    torch.manual_seed(seed)
    return ConvNet((WIDTH, WIDTH))


def predictor(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(WIDTH, WIDTH)


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_as_many_cells_of_each_picture_are_hidden_never_all_never_none() -> None:
    for share, number in ((0.5, 8), (0.0, 1), (1.0, 15)):
        hidden = mpm.hidden_places(6, 16, share, seeded())
        assert hidden.shape == (6, number)
        assert all(len(set(row)) == number for row in hidden.tolist())
    assert (
        mpm.hidden_places(6, 16, 0.5, seeded()).tolist() == mpm.hidden_places(6, 16, 0.5, seeded()).tolist()
    )
    assert hidden.sort().values.tolist() != hidden[:1].sort().values.expand(6, -1).tolist()


def test_hidden_cells_are_grey_and_all_others_untouched() -> None:
    pictures = drawn(2)[:, 0].clamp(max=100)
    painted = mpm.paint(pictures, torch.tensor([[0, 6], [15, 3]]), SIDE)
    expected = pictures.clone()
    for picture, cell in ((0, 0), (0, 6), (1, 15), (1, 3)):
        row, column = 4 * (cell // SIDE), 4 * (cell % SIDE)
        expected[picture, row : row + 4, column : column + 4] = 128
    assert torch.equal(painted, expected)
    assert painted.dtype == torch.uint8
    uneven = mpm.paint(drawn(1)[:, 0], torch.tensor([[8]]), 3)  # 16 pixels in 3 cells: the last has 5
    assert (uneven[0, 11:, 11:] == 128).all()
    assert not (uneven[0, :11] == 128).all(dim=-1).any()


def test_cells_that_look_alike_are_no_rivals() -> None:
    pictures = torch.full((2, SIZE, SIZE, 3), 250, dtype=torch.uint8)
    pictures[1, :4, :4] = torch.tensor([10, 200, 30], dtype=torch.uint8)
    pictures[1, 4:6, 4:6] = 0  # a quarter of a cell is enough to tell it apart
    looks = mpm.appearance(pictures, SIDE)
    assert len(set(looks.tolist())) == 3
    assert len(set(looks[:16].tolist())) == 1
    assert looks[16] != looks[21]
    guess = mpm.predict(encoder(), predictor(), pictures, 0.5, seeded())
    assert (guess.rivals == (looks[guess.own][:, None] != looks)).all()
    assert not guess.rivals[torch.arange(len(guess.own)), guess.own].any()


def written_down(guess: mpm.Guess) -> tuple[float, float]:
    """Both losses in numpy, one prediction after the other."""
    predicted, targets = guess.predicted.detach().numpy(), guess.targets.numpy()
    found, squares = [], []
    for row, own in enumerate(guess.own.tolist()):
        one = predicted[row] / np.linalg.norm(predicted[row])
        scores = targets @ one / np.linalg.norm(targets, axis=1) / 0.1
        rivals = np.exp(scores[guess.rivals[row].numpy()]).sum()
        found.append(np.log(np.exp(scores[own]) + rivals) - scores[own])
        squares.append(((predicted[row] - targets[own]) ** 2).mean())
    return float(np.mean(found)), float(np.mean(squares))


def test_the_losses_are_the_ones_written_down() -> None:
    pictures = drawn(3)[:, 0]
    pictures[:, :8] = 255  # some cells alike
    guess = mpm.predict(encoder(), predictor(), pictures, 0.5, seeded())
    contrastive, regression = written_down(guess)
    assert mpm.contrastive(guess).item() == pytest.approx(contrastive, rel=1e-4)
    assert mpm.regression(guess).item() == pytest.approx(regression, rel=1e-4)
    assert contrastive > 0.5


def test_targets_are_the_features_of_the_whole_pictures_at_their_places() -> None:
    network, pictures = encoder().eval(), drawn(3)[:, 0]
    guess = mpm.predict(network, nn.Identity(), pictures, 0.5, seeded())
    places = network.encode(pictures[:, None], torch.ones(3, 1, dtype=torch.bool)).tokens
    assert torch.equal(guess.targets, nn.functional.layer_norm(places, (WIDTH,)).flatten(0, 1))
    hidden = mpm.hidden_places(3, 16, 0.5, seeded())
    assert guess.own.tolist() == [16 * row + place for row in range(3) for place in hidden[row].tolist()]
    painted = mpm.paint(pictures, hidden, SIDE)
    seen = network.encode(painted[:, None], torch.ones(3, 1, dtype=torch.bool)).tokens
    assert torch.equal(guess.predicted, seen.flatten(0, 1)[guess.own])


@pytest.mark.parametrize("loss", [mpm.contrastive, mpm.regression])
def test_the_gradient_reaches_encoder_and_predictor_but_no_target(
    loss: Callable[[mpm.Guess], Tensor],
) -> None:
    network, head = encoder(), predictor()
    guess = mpm.predict(network, head, drawn(3)[:, 0], 0.5, seeded())
    assert not guess.targets.requires_grad
    loss(guess).backward()
    assert all(parameter.grad is not None for module in (network, head) for parameter in module.parameters())


def test_running_averages_stay_while_batch_statistics_are_used() -> None:
    network, pictures = encoder(), drawn(4)[:, 0]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    guess = mpm.predict(network, predictor(), pictures, 0.5, seeded())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network.encode(pictures[:, None], torch.ones(4, 1, dtype=torch.bool))  # and afterwards they move again
    assert not torch.equal(before["stages.1.running_mean"], network.stages[1].running_mean)  # type: ignore[arg-type]
    network.load_state_dict(before)
    resting = mpm.predict(network.eval(), predictor(), pictures, 0.5, seeded())
    assert not torch.allclose(guess.targets, resting.targets, atol=1e-2)


def towers_with_head() -> Towers:
    torch.manual_seed(0)
    towers = build_towers(tiny_recipe(), [product.title for product in tiny_catalogue().products])
    mpm.add_heads(towers)
    head = towers.heads[mpm.HEAD]
    mpm.add_heads(towers)
    assert towers.heads[mpm.HEAD] is head
    return towers


def forward_of(pixels: Tensor, has_image: Tensor) -> Forward:
    """A term of this kind looks at nothing but the batch's pictures."""
    nothing = torch.zeros(0)
    batch = Batch(
        **{**dict.fromkeys(Batch.__dataclass_fields__, nothing), "pixels": pixels, "has_image": has_image}
    )
    return Forward(batch, nothing, None, None, None)  # type: ignore[arg-type]


def term_loss(towers: Towers, pixels: Tensor, has_image: Tensor, kind: mpm.Kind = "contrastive") -> Tensor:
    torch.manual_seed(9)
    return mpm.MaskedPatches(kind)(towers, forward_of(pixels, has_image))


@pytest.mark.parametrize("kind", ["contrastive", "regression"])
def test_absent_pictures_never_take_part(kind: mpm.Kind) -> None:
    towers, pixels = towers_with_head(), drawn(4, views=2)
    there = torch.tensor([[1, 1], [1, 0], [0, 0], [0, 1]], dtype=torch.bool)
    expected = term_loss(towers, pixels, there, kind)
    other = torch.where(there[..., None, None, None], pixels, 7)
    assert torch.equal(term_loss(towers, other, there, kind), expected)
    assert not torch.equal(term_loss(towers, drawn(4, views=2, seed=1), there, kind), expected)
    assert expected.item() > 0
    assert term_loss(towers, pixels, torch.zeros_like(there), kind).item() == 0


def test_the_same_state_of_torchs_generator_hides_the_same_cells() -> None:
    towers, pixels, there = towers_with_head(), drawn(4), torch.ones(4, 1, dtype=torch.bool)
    first = term_loss(towers, pixels, there)
    assert torch.equal(term_loss(towers, pixels, there), first)
    assert not torch.equal(mpm.MaskedPatches()(towers, forward_of(pixels, there)), first)


def test_a_step_bears_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpm, "_MOST_PICTURES", 5)
    monkeypatch.setattr(mpm, "_MOST_PLACES", 50)
    pictures = mpm.some_pictures(drawn(6, views=2), torch.ones(6, 2, dtype=torch.bool))
    assert len(pictures) == 5
    assert len(mpm.predict(encoder(), predictor(), pictures, 0.5).targets) == 3 * 16


def test_a_vision_transformers_patches_are_its_cells() -> None:
    torch.manual_seed(0)
    sizes = {"size": SIZE, "patch": SIZE // SIDE, "width": WIDTH, "layers": 1, "heads": 2, "feedforward": 16}
    network = VisionTransformer(VisionTransformerConfig(**sizes)).eval()
    pictures, hidden = drawn(3)[:, 0], mpm.hidden_places(3, 16, 0.5, seeded())
    guess = mpm.predict(network, predictor(), pictures, 0.5, seeded())
    assert guess.targets.shape == (3 * 16, WIDTH)
    # With no layer between, only a painted cell's own token differs from the whole picture's.
    network.blocks = nn.ModuleList()
    one_each = torch.ones(3, 1, dtype=torch.bool)
    whole = network.encode(pictures[:, None], one_each).tokens
    seen = network.encode(mpm.paint(pictures, hidden, SIDE)[:, None], one_each).tokens
    moved = (whole - seen).abs().amax(dim=-1) > 1e-6
    assert moved.nonzero()[:, 1].view(3, 8).tolist() == hidden.sort().values.tolist()


def test_a_single_place_cannot_be_hidden() -> None:
    network = ConvNet((4, 4, 4, WIDTH)).eval()
    with pytest.raises(InvalidInput, match="1 places a picture"):
        mpm.predict(network, predictor(), drawn(2)[:, 0], 0.5)


def striped(products: int, seed: int) -> Tensor:
    """Pictures of two colours in stripes: what is hidden follows from what is seen."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((products, 1, SIZE, SIZE, 3), dtype=np.uint8)
    for row in range(products):
        first, second = random.integers(0, 256, (2, 3))
        across = np.where(np.arange(SIZE)[:, None] // 8 % 2, first, second)
        pixels[row, 0] = across[:, None] if row % 2 else across[None, :]
    return torch.from_numpy(pixels)


def test_it_learns_to_tell_patches_apart_far_above_chance() -> None:
    towers, there = towers_with_head(), torch.ones(24, 1, dtype=torch.bool)
    network, head = towers.product.image_encoder, towers.heads[mpm.HEAD]
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)
    unseen = striped(24, seed=99)

    def found() -> mpm.PatchIdentification:
        network.eval()
        result = mpm.patch_identification(network, head, unseen, there)
        network.train()
        return result

    untrained = found()
    for step in range(60):
        optimizer.zero_grad()
        mpm.MaskedPatches()(towers, forward_of(striped(24, seed=step), there)).backward()
        optimizer.step()
    learned = found()
    assert learned.chance == untrained.chance < 0.02
    assert learned.accuracy > 10 * learned.chance
    assert learned.accuracy > 2 * untrained.accuracy
    assert found() == learned
