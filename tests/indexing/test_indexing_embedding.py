import dataclasses

import numpy as np
import pytest
from support.exported_pairs import tiny_tokenizer
from support.fake_encoder import FakeEncoder, seed_of, vector_of, weights_of
from support.tiny_shop import tiny_catalogue, tiny_pictures

from catalog.catalogue import Catalogue
from catalog.tokenizer import Tokenizer
from faults import InvalidInput, Unavailable
from indexing.embedding import embed_catalogue

SHOP = tiny_catalogue()
CATALOGUE = Catalogue([*SHOP.products[:-1], dataclasses.replace(SHOP.products[-1], title="")])
PICTURES = tiny_pictures(CATALOGUE)
PICTURES.has_image[3] = False


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.mark.parametrize("rows", [1, 5, 12, 100])
async def test_every_row_is_its_own_products_whatever_finishes_first(tokenizer: Tokenizer, rows: int) -> None:
    encoder = FakeEncoder(tokenizer, first_is_slow=True)
    found = await embed_catalogue(encoder, CATALOGUE, PICTURES, rows)  # type: ignore[arg-type]
    assert found.vectors.shape == (12, 16)
    assert found.vectors.dtype == found.weights.dtype == np.float32
    for place, product in enumerate(CATALOGUE.products):
        row = encoder.product_row(product.indexed_text(), PICTURES.pixels[place], PICTURES.has_image[place])
        np.testing.assert_array_equal(found.vectors[place], vector_of(seed_of(row)))
        np.testing.assert_array_equal(found.weights[place], weights_of(row))
    assert len(np.unique(found.vectors, axis=0)) == 12


async def test_the_catalogue_is_cut_into_full_batches_and_a_rest(tokenizer: Tokenizer) -> None:
    encoder = FakeEncoder(tokenizer)
    await embed_catalogue(encoder, CATALOGUE, PICTURES, 5)  # type: ignore[arg-type]
    assert encoder.batches == [5, 5, 2]


async def test_one_call_runs_while_the_next_is_prepared_and_no_more(tokenizer: Tokenizer) -> None:
    encoder = FakeEncoder(tokenizer)
    await embed_catalogue(encoder, CATALOGUE, PICTURES, 1)  # type: ignore[arg-type]
    assert encoder.most_in_flight == 2


async def test_progress_counts_products_up_to_the_last(tokenizer: Tokenizer) -> None:
    told: list[int] = []
    await embed_catalogue(FakeEncoder(tokenizer), CATALOGUE, PICTURES, 5, told.append)  # type: ignore[arg-type]
    assert told == sorted(told)
    assert told[-1] == 12
    assert len(told) == 3


@pytest.mark.parametrize(
    "error",
    [Unavailable("Triton does not answer", field="triton"), InvalidInput("refused", field="input_ids")],
    ids=["away", "refused"],
)
async def test_a_failed_call_ends_it_with_that_very_error(tokenizer: Tokenizer, error: Exception) -> None:
    encoder = FakeEncoder(tokenizer, error=error)
    with pytest.raises(type(error)) as caught:
        await embed_catalogue(encoder, CATALOGUE, PICTURES, 1)  # type: ignore[arg-type]
    assert caught.value is error
    assert len(encoder.batches) < 12  # the rest is not even tried
