"""Bad pictures and texts on purpose: whom they hit, what they leave. What a gate makes of them is row A3."""

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe

from towers.build import build_towers
from towers.data.examples import Drawing, make_examples
from towers.data.spoiling import Spoilt, spoil
from towers.stage_kinds.retrieval import _fit_to_teach_alone
from towers.training.train import train

PRODUCTS = 400
PIXELS = np.full((PRODUCTS, 1, 4, 4, 3), 90, np.uint8)
TOKENS = [[2, *range(10, 10 + row % 9), 3] for row in range(PRODUCTS)]


def spoilt(chance: float = 0.3, seed: int = 0, both: np.ndarray | None = None) -> Spoilt:
    has_both = np.ones(PRODUCTS, dtype=bool) if both is None else both
    return spoil(PIXELS, TOKENS, has_both, chance, np.random.default_rng(seed))


def test_each_modality_is_hit_as_often_as_asked_and_never_both_of_a_product() -> None:
    found = spoilt()
    assert found.text.mean() == pytest.approx(0.3, abs=0.07)
    assert found.image.mean() == pytest.approx(0.3, abs=0.07)
    assert not (found.text & found.image).any()
    changed = (found.pixels != PIXELS).any(axis=(1, 2, 3, 4))
    assert (changed == found.image).mean() > 0.99  # a flat shade may be the picture's own
    assert [ids == own for ids, own in zip(found.tokens, TOKENS, strict=True)].count(False) > 0
    for ids, own, cut in zip(found.tokens, TOKENS, found.text.tolist(), strict=True):
        assert (ids[0], ids[-1]) == (2, 3)
        assert len(ids) <= 5 if cut else ids == own
        assert set(ids) <= set(own)


def test_a_products_only_modality_is_left_alone_and_nothing_is_touched_in_place() -> None:
    found = spoilt(both=np.zeros(PRODUCTS, dtype=bool))
    assert found.tokens == TOKENS
    assert not (found.text | found.image).any()
    assert (PIXELS == 90).all()


def test_the_generator_decides() -> None:
    first, again, other = spoilt(seed=1), spoilt(seed=1), spoilt(seed=2)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.tokens == again.tokens
    assert not np.array_equal(first.image, other.image)


def test_what_is_spoilt_teaches_no_modality_alone_and_training_goes_on_with_it() -> None:
    catalogue = tiny_catalogue()
    recipe = tiny_recipe(retrieval={"steps": 6, "spoiling": 0.45, "modality_dropout": 0.0})
    found = train(recipe, catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue))
    again = train(recipe, catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue))
    assert found.history == again.history
    clean = train(
        tiny_recipe(retrieval={"steps": 6, "modality_dropout": 0.0}),
        catalogue,
        tiny_clicks(catalogue),
        tiny_pictures(catalogue),
    )
    assert found.history != clean.history


def test_a_spoilt_modality_is_left_out_of_its_own_loss() -> None:
    catalogue = tiny_catalogue()
    recipe = tiny_recipe()
    towers = build_towers(recipe, [product.title for product in catalogue.products])
    examples = make_examples(
        catalogue, tiny_clicks(catalogue), tiny_pictures(catalogue), towers.tokenizer, 12, 16
    )
    (batch,) = examples.batches(Drawing(products=12, queries_each=2, steps=1, seed=0, spoiling=0.4))
    assert batch.spoilt is not None
    assert batch.spoilt.any(dim=0).all()
    has_text, has_image = _fit_to_teach_alone(batch)
    assert torch.equal(has_text, ~batch.spoilt[:, 0])
    assert torch.equal(has_image, ~batch.spoilt[:, 1])
    assert batch.has_text.all()
