"""FLOPs and bytes counted by torch, against the same worked out by hand."""

import pytest
import torch
from support.tiny_shop import tiny_recipe
from torch import nn

from benchmarks.gpu_check.counting import Count, count, floor
from benchmarks.gpu_check.subjects import fresh_towers
from towers.encoders.text_encoder import TextEncoder, TextEncoderConfig


class Flat(nn.Module):
    """A table and one product: everything about it is known."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 4)
        self.product = nn.Linear(4, 6)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.product(self.table(ids))
        return found


def test_a_known_module() -> None:
    counted = count(Flat(), (torch.ones(1, 5, dtype=torch.int64),))
    assert counted.flops == 2 * 5 * 4 * 6
    assert counted.weights == 4 * 6 + 6  # of the table only the rows that are read
    assert counted.rows_read == 5 * 4
    assert counted.moved == 5 * 8 + 5 * 6 * 4
    assert counted.results == 5 * 4 + 5 * 6


def test_attention_is_counted() -> None:
    config = TextEncoderConfig(vocabulary=50, width=16, layers=2, heads=2, feedforward=64, positions=8)
    length, width = 8, 16
    encoder = TextEncoder(config).eval()
    ids = torch.ones(1, length, dtype=torch.int64)
    projections = 4 * length * width * width
    attention = 2 * length * length * width
    feedforward = 2 * length * width * config.feedforward
    expected = 2 * config.layers * (projections + attention + feedforward)
    assert count(encoder, (ids, torch.ones_like(ids))).flops == expected


@pytest.mark.parametrize("tower", ["query", "product"])
def test_flops_grow_with_the_batch_and_with_nothing_else(tower: str) -> None:
    recipe = tiny_recipe()
    towers, weights = fresh_towers(recipe)
    towers.train(False)
    assert weights == "random"
    module = getattr(towers, tower)
    image = recipe.image

    def inputs(rows: int) -> tuple[torch.Tensor, ...]:
        ids = torch.ones(rows, 8, dtype=torch.int64)
        pixels = torch.zeros(rows, image.views, image.size, image.size, 3, dtype=torch.uint8)
        flags = (torch.ones(rows, 1, dtype=torch.bool), torch.ones(rows, image.views, dtype=torch.bool))
        words = (ids, torch.ones_like(ids))
        return words if tower == "query" else (*words, pixels, *flags)

    one, three = count(module, inputs(1)), count(module, inputs(3))
    assert one.flops > 0
    assert three.flops == 3 * one.flops
    assert three.weights == one.weights
    assert three.moved == 3 * one.moved


ONE = Count(flops=2_000_000, weights=1000, rows_read=10, moved=40, results=5000)
CEILINGS = {"tflops": {"fp32": 1.0, "fp16": 4.0, "fp8": 8.0}, "copy_gb_s": 1.0}


def test_the_floor_is_the_larger_of_compute_and_memory() -> None:
    alone = floor(ONE, 1, "fp32", CEILINGS)
    assert alone is not None
    assert alone.bound == "memory"
    assert alone.seconds == pytest.approx((4 * 1000 + 40) / 1e9)
    many = floor(ONE, 1000, "fp32", CEILINGS)
    assert many is not None
    assert many.bound == "compute"
    assert many.seconds == pytest.approx(1000 * 2e6 / 1e12)
    assert many.unfused_s > many.seconds


def test_half_precision_has_its_own_ceiling_and_half_the_bytes() -> None:
    found = floor(ONE, 1000, "fp16", CEILINGS)
    assert found is not None
    assert found.seconds == pytest.approx(1000 * 2e6 / 4e12)
    assert floor(ONE, 1000, "int8", CEILINGS) == floor(ONE, 1000, "fp8", CEILINGS)


@pytest.mark.parametrize("ceilings", [{}, {"tflops": {"fp32": 1.0}}, {"tflops": {}, "copy_gb_s": 1.0}])
def test_without_a_ceiling_there_is_no_floor(ceilings: dict[str, object]) -> None:
    assert floor(ONE, 1, "fp32", ceilings) is None
