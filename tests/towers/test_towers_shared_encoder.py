"""Towers that share one encoder, through all that a pair of separate ones goes through."""

from pathlib import Path

import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe

from towers.checkpoint import Checkpoint, Provenance, load_checkpoint, save_checkpoint
from towers.training.loop import Step
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, train

CATALOGUE = tiny_catalogue()
RECIPE = tiny_recipe(text={"shared": True}, retrieval={"steps": 4}, fusion={"kind": "single_stream"})


class Stopped(Exception):
    pass


def trained(progress: ProgressFolder | None = None, stop_after: int = 0) -> Trained:
    def on_step(step: Step) -> None:
        if step.number == stop_after:
            raise Stopped

    return train(RECIPE, CATALOGUE, tiny_clicks(CATALOGUE), tiny_pictures(CATALOGUE), on_step, progress)


@pytest.fixture(scope="module")
def whole() -> Trained:
    return trained()


def test_the_query_tower_is_the_products_text_view(whole: Trained) -> None:
    towers = whole.towers
    assert towers.query.encoder is towers.product.encoder
    ids = torch.tensor(towers.tokenizer.encode(["red mug"], 12))
    mask = torch.ones_like(ids)
    pixels = torch.zeros(1, 1, 16, 16, 3, dtype=torch.uint8)
    with torch.no_grad():
        views = towers.product.views(ids, mask, pixels, torch.tensor([[True]]), torch.tensor([[False]]))
        asked = towers.query(ids, mask)
    torch.testing.assert_close(views.text, asked, atol=1e-6, rtol=0)
    torch.testing.assert_close(views.fused, asked, atol=1e-6, rtol=0)


def test_a_checkpoint_gives_the_same_vectors_and_shares_again(whole: Trained, tmp_path: Path) -> None:
    provenance = Provenance("tests", "0" * 64, "tiny", 12, 24)
    save_checkpoint(Checkpoint(whole.towers, RECIPE, provenance), tmp_path / "saved")
    found = load_checkpoint(tmp_path / "saved").towers
    assert found.query.encoder is found.product.encoder
    for one, other in zip(whole.towers.modules(), found.modules(), strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])


def test_a_stopped_training_goes_on_to_the_same_bits(whole: Trained, tmp_path: Path) -> None:
    progress = ProgressFolder(tmp_path / "progress", print, every_steps=1)
    with pytest.raises(Stopped):
        trained(progress, stop_after=2)
    resumed = trained(ProgressFolder(tmp_path / "progress", print, every_steps=1))
    assert resumed.history == whole.history
    state = whole.towers.product.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in resumed.towers.product.state_dict().items())
