"""Vectors of text alone and pictures alone: embedded once where a product has both."""

import dataclasses

import numpy as np
import pytest
from support.exported_pairs import tiny_tokenizer
from support.fake_encoder import FakeEncoder, seed_of, vector_of
from support.tiny_shop import tiny_catalogue, tiny_pictures

from catalog.catalogue import Catalogue
from faults import Unavailable
from indexing.embedding import embed_catalogue
from indexing.view_vectors import view_vectors

SHOP = tiny_catalogue()
CATALOGUE = Catalogue([*SHOP.products[:-1], dataclasses.replace(SHOP.products[-1], title="")])
PICTURES = tiny_pictures(CATALOGUE)
PICTURES.pixels[3], PICTURES.has_image[3] = 0, False
ONLY_TEXT, ONLY_PICTURE = 3, 11


async def test_each_half_is_what_the_tower_says_of_it_alone():
    encoder = FakeEncoder(tiny_tokenizer())
    whole = (await embed_catalogue(encoder, CATALOGUE, PICTURES)).vectors
    before = sum(encoder.batches)
    views = await view_vectors(encoder, CATALOGUE, PICTURES, whole)
    assert sum(encoder.batches) - before == 2 * 10, "the two that have one half are embedded already"
    assert set(views) == {"text", "image"}
    for vectors in views.values():
        assert (vectors.shape, vectors.dtype) == (whole.shape, np.float32)
    blank, nothing = np.zeros_like(PICTURES.pixels[0]), np.zeros_like(PICTURES.has_image[0])
    for row, product in enumerate(CATALOGUE.products):
        if row in (ONLY_TEXT, ONLY_PICTURE):
            continue
        text = encoder.product_row(product.indexed_text(), blank, nothing)
        image = encoder.product_row("", PICTURES.pixels[row], PICTURES.has_image[row])
        np.testing.assert_array_equal(views["text"][row], vector_of(seed_of(text)))
        np.testing.assert_array_equal(views["image"][row], vector_of(seed_of(image)))


async def test_a_missing_half_is_zero_and_the_other_is_the_whole():
    encoder = FakeEncoder(tiny_tokenizer())
    whole = (await embed_catalogue(encoder, CATALOGUE, PICTURES)).vectors
    views = await view_vectors(encoder, CATALOGUE, PICTURES, whole)
    assert not views["image"][ONLY_TEXT].any()
    assert not views["text"][ONLY_PICTURE].any()
    np.testing.assert_array_equal(views["text"][ONLY_TEXT], whole[ONLY_TEXT])
    np.testing.assert_array_equal(views["image"][ONLY_PICTURE], whole[ONLY_PICTURE])
    assert np.count_nonzero(views["text"].any(axis=1)) == np.count_nonzero(views["image"].any(axis=1)) == 11


async def test_progress_counts_products_to_the_last():
    encoder = FakeEncoder(tiny_tokenizer())
    whole = (await embed_catalogue(encoder, CATALOGUE, PICTURES)).vectors
    told: list[int] = []
    await view_vectors(encoder, CATALOGUE, PICTURES, whole, told.append)
    assert told == sorted(told)
    assert told[-1] == len(CATALOGUE)


async def test_a_shop_without_pictures_has_texts_only():
    pictures = tiny_pictures(CATALOGUE)
    pictures.pixels[:], pictures.has_image[:] = 0, False
    encoder = FakeEncoder(tiny_tokenizer())
    whole = (await embed_catalogue(encoder, CATALOGUE, pictures)).vectors
    before = len(encoder.batches)
    views = await view_vectors(encoder, CATALOGUE, pictures, whole)
    assert len(encoder.batches) == before
    assert not views["image"].any()


async def test_a_failed_call_ends_it():
    encoder = FakeEncoder(tiny_tokenizer(), error=Unavailable("Triton does not answer"))
    with pytest.raises(Unavailable, match="does not answer"):
        await view_vectors(encoder, CATALOGUE, PICTURES, np.ones((12, 16), np.float32))
