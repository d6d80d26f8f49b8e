"""The colour histogram beside the convolutions."""

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_recipe

from towers.build import build_towers
from towers.encoders.colour_statistics import ColourStatistics
from towers.encoders.convnet import ConvNet


def plain(*colours: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(colours, dtype=torch.float32)[:, :, None, None].expand(-1, 3, 16, 16)


def roots(statistics: ColourStatistics, pictures: torch.Tensor) -> torch.Tensor:
    """What is projected, by a projection that leaves it as it is."""
    torch.nn.init.eye_(statistics.project.weight)
    return statistics(pictures).detach()


def test_a_plain_picture_lies_in_one_cell() -> None:
    shares = roots(ColourStatistics(2, 8), plain((0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255))) ** 2
    assert shares.argmax(dim=1).tolist() == [0, 4, 1, 7]
    assert (shares.max(dim=1).values > 0.999).all()


def test_a_colour_between_two_cells_is_shared() -> None:
    shares = roots(ColourStatistics(2, 8), plain((51, 0, 0)))[0] ** 2
    assert shares[0].item() == pytest.approx(0.8, abs=1e-4)
    assert shares[4].item() == pytest.approx(0.2, abs=1e-4)


def test_the_order_of_the_places_does_not_matter_and_shares_do() -> None:
    half = plain((0, 0, 0), (0, 0, 0)).clone()
    half[0, :, :8], half[1, :, 8:] = 255, 255
    top, bottom = roots(ColourStatistics(2, 8), half)
    assert torch.allclose(top, bottom)
    assert (top[[0, 7]] ** 2).tolist() == pytest.approx([0.5, 0.5], abs=1e-4)


def test_at_first_the_similarity_is_that_of_the_histograms() -> None:
    random = np.random.default_rng(0)
    pictures = torch.from_numpy(random.integers(0, 255, (6, 3, 4, 4))).float().repeat(1, 1, 4, 4)
    torch.manual_seed(0)
    statistics = ColourStatistics(4, 4096)
    cosines = [
        torch.nn.functional.normalize(part, dim=1) @ torch.nn.functional.normalize(part, dim=1).T
        for part in (statistics(pictures).detach(), roots(ColourStatistics(4, 64), pictures))
    ]
    assert (cosines[0] - cosines[1]).abs().max() < 0.1


def test_the_encoder_adds_it_to_each_picture() -> None:
    torch.manual_seed(0)
    encoder = ConvNet((8, 8), colours=2).eval()
    pixels = torch.randint(0, 255, (3, 2, 16, 16, 3), dtype=torch.uint8)
    has_image = torch.tensor([[True, True], [True, False], [False, False]])
    encoded = encoder.encode(pixels, has_image)
    colours = encoder.colours
    assert colours is not None
    first = colours(pixels[1, :1].float().permute(0, 3, 1, 2))[0]
    places = encoded.tokens[1][encoded.mask[1] > 0].mean(dim=0)
    torch.testing.assert_close(encoded.pooled[1], places + first)
    assert not encoded.pooled[2].any()
    torch.testing.assert_close(encoder(pixels.flip(1), has_image.flip(1)), encoded.pooled)


def test_a_recipe_asks_for_it() -> None:
    with_colours = tiny_recipe(image={"size": 16, "channels": [8, 8], "colours": 4})
    for recipe, expected in ((with_colours, 4), (tiny_recipe(), None)):
        encoder = build_towers(recipe, ["a mug"]).product.image_encoder
        assert isinstance(encoder, ConvNet)
        assert (encoder.colours and encoder.colours.cells) == expected
