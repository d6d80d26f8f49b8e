"""Parts of measures that need no towers: what is done to pictures, words and batches."""

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures

from benchmarks.experiments.halves import halves
from benchmarks.experiments.measures.damage import cut, noisy
from benchmarks.experiments.measures.retrieval import DECIDES, deciding
from catalog.sample_shop.intents import WORDINGS
from catalog.tokenizer import train_tokenizer
from towers.data.examples import Batch, Drawing, make_examples


@pytest.mark.parametrize(
    ("share", "kept"), [(1.0, "one two three four"), (0.5, "one two"), (0.25, "one"), (0.0, "one")]
)
def test_words_are_cut_from_the_end_and_one_is_left(share: float, kept: str) -> None:
    assert cut("one two three four", share) == kept


def test_pictures_drown_in_the_same_noise_at_every_level() -> None:
    pixels = np.full((2, 1, 8, 8, 3), 200, np.uint8)
    assert np.array_equal(noisy(pixels, 0.0, seed=1), pixels)
    whole = noisy(pixels, 1.0, seed=1)
    assert np.array_equal(whole, noisy(np.zeros_like(pixels), 1.0, seed=1))
    half = noisy(pixels, 0.5, seed=1)
    assert np.abs(half.astype(int) - (100 + whole.astype(int) / 2)).max() <= 0.5
    assert not np.array_equal(whole, noisy(pixels, 1.0, seed=2))


def test_every_kind_of_query_has_a_deciding_modality() -> None:
    kinds = sorted(WORDINGS)
    decided = dict(zip(kinds, (DECIDES[place] for place in deciding(kinds)), strict=True))
    assert decided["colour+category"] == decided["shape+category"] == "image"
    assert decided["specification"] == decided["style"] == "text"
    assert decided["category"] == decided["colour+specification"] == "both"


def a_batch() -> Batch:
    catalogue = tiny_catalogue()
    clicks = tiny_clicks(catalogue)
    tokenizer = train_tokenizer([click.query for click in clicks], 300)
    examples = make_examples(catalogue, clicks, tiny_pictures(catalogue), tokenizer, 12, 16)
    return next(examples.batches(Drawing(products=7, queries_each=2, steps=1, seed=0)))


def test_halves_of_a_batch_know_nothing_of_each_other() -> None:
    batch = a_batch()
    first, second = halves(batch)
    for name in ("product_ids", "pixels", "has_text", "has_image", "product_rows"):
        assert torch.equal(torch.cat([getattr(first, name), getattr(second, name)]), getattr(batch, name))
    for name in ("query_ids", "query_rows"):
        assert torch.equal(torch.cat([getattr(first, name), getattr(second, name)]), getattr(batch, name))
    for half in (first, second):
        assert half.known.shape == (len(half.query_ids), len(half.product_ids))
        assert bool(half.known[torch.arange(len(half.target)), half.target].all())
    asked = torch.cat([first.product_rows[first.target], second.product_rows[second.target]])
    assert torch.equal(asked, batch.product_rows[batch.target])
