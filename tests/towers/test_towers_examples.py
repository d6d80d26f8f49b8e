import dataclasses

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures

from catalog.catalogue import Catalogue
from catalog.schema import Click, Product
from catalog.tokenizer import Tokenizer, train_tokenizer
from faults import CatalogueError
from towers.data.examples import Batch, Drawing, Examples, drop_modalities, make_examples

CATALOGUE = tiny_catalogue()
ROWS = {product_id: row for row, product_id in enumerate(CATALOGUE.ids)}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["mug lamp chair red green blue white of the makers"], 300)


def examples(tokenizer: Tokenizer, clicks: list[Click], catalogue: Catalogue = CATALOGUE) -> Examples:
    return make_examples(catalogue, clicks, tiny_pictures(CATALOGUE), tokenizer, 12, 16)


def drawn(
    found: Examples, seed: int = 0, products: int = 6, dropout: float = 0.0, steps: int = 3
) -> list[Batch]:
    return list(found.batches(Drawing(products, 2, steps, seed, dropout)))


def equal(one: Batch, other: Batch) -> bool:
    return all(
        a is b if a is None else a.shape == b.shape and torch.equal(a, b)
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def test_a_log_of_another_catalogue_is_refused_with_count_and_examples(tokenizer: Tokenizer) -> None:
    strangers = [Click("mug", f"stranger-{number}", 1, 1) for number in range(7)]
    with pytest.raises(CatalogueError) as caught:
        examples(tokenizer, [*tiny_clicks(CATALOGUE), *strangers, strangers[0]])
    assert caught.value.field == "clicks.product_id"
    assert "7 clicked products" in caught.value.problem
    assert caught.value.value == [f"stranger-{number}" for number in range(5)]


@pytest.mark.parametrize("clicks", [[], [Click("mug", "mug-red", 0, 5)]], ids=["no row", "no click"])
def test_a_log_without_clicks_is_refused(tokenizer: Tokenizer, clicks: list[Click]) -> None:
    with pytest.raises(CatalogueError, match="no click"):
        examples(tokenizer, clicks)


def test_rows_without_clicks_teach_nothing_and_repeated_rows_add_up(tokenizer: Tokenizer) -> None:
    clicks = [Click("mug", "mug-red", 3, 9), Click("lamp", "mug-red", 0, 9), Click("mug", "mug-red", 6, 9)]
    found = examples(tokenizer, [*clicks, Click("red mug", "mug-red", 1, 9)])
    assert found.queries == ("mug", "red mug")
    assert found.pairs == 2
    queries, chances = found.asked[ROWS["mug-red"]]
    assert queries.tolist() == [0, 1]
    np.testing.assert_allclose(chances, [3 / 4, 1 / 4])  # by the square root of 9 and 1


def test_a_product_without_words_is_known_to_have_none(tokenizer: Tokenizer) -> None:
    products = [dataclasses.replace(CATALOGUE.products[0], title=" "), *CATALOGUE.products[1:]]
    found = examples(tokenizer, tiny_clicks(CATALOGUE), Catalogue(products))
    assert found.has_text.tolist() == [False] + [True] * 11


def test_a_batch_holds_distinct_products_with_queries_that_were_clicked_for_them(
    tokenizer: Tokenizer,
) -> None:
    clicks = tiny_clicks(CATALOGUE)
    pairs = {(click.query, click.product_id) for click in clicks}
    found = examples(tokenizer, clicks)
    text_of = {tuple(ids): query for ids, query in zip(found.query_tokens, found.queries, strict=True)}
    (batch,) = drawn(found, steps=1)
    rows = [
        int(np.argmax((tiny_pictures(CATALOGUE).pixels == shot).all(axis=(1, 2, 3, 4))))
        for shot in batch.pixels.numpy()
    ]
    assert batch.product_ids.shape[0] == 6
    assert batch.target.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    for place, (ids, mask) in enumerate(zip(batch.query_ids, batch.query_mask, strict=True)):
        query = text_of[tuple(ids[mask.bool()].tolist())]
        product = int(batch.target[place])
        colour = CATALOGUE.products[rows[product]].color
        assert query.split()[0] in (colour, "mug", "lamp", "chair")
        assert batch.known[place, product]
        tokens = batch.product_ids[:, :].tolist()
        for j in range(6):  # titles name the thing, pictures the colour: both together name the product
            thing = next(
                t
                for t in ("mug", "lamp", "chair")
                if tokens[j][1] == found.product_tokens[ROWS[f"{t}-red"]][1]
            )
            shown = CATALOGUE.products[rows[j]].color
            assert bool(batch.known[place, j]) == ((query, f"{thing}-{shown}") in pairs)


def test_the_seed_decides_the_batches(tokenizer: Tokenizer) -> None:
    found = examples(tokenizer, tiny_clicks(CATALOGUE))
    first, again, other = (drawn(found, seed, dropout=0.3) for seed in (1, 1, 2))
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(equal(a, b) for a, b in zip(first, other, strict=True))
    assert not equal(first[0], first[1])


def test_a_batch_larger_than_the_catalogue_takes_every_clicked_product_once(tokenizer: Tokenizer) -> None:
    clicks = [click for click in tiny_clicks(CATALOGUE) if click.product_id != "mug-red"]
    (batch,) = drawn(examples(tokenizer, clicks), products=100, steps=1)
    assert len(batch.product_ids) == 11


def test_dropping_hides_each_modality_as_often_as_asked_and_never_the_last() -> None:
    rows = 4000
    has_text = np.arange(rows) % 4 != 0
    has_image = np.stack([np.arange(rows) % 5 != 0, np.zeros(rows, dtype=bool)], axis=1)
    text, image = drop_modalities(has_text, has_image, 0.2, np.random.default_rng(0))
    had, both = has_text | has_image.any(axis=1), has_text & has_image.any(axis=1)
    assert ((text | image.any(axis=1)) == had).all()
    assert not (text & ~has_text).any()
    assert not (image & ~has_image).any()
    assert (has_text & ~text)[both].mean() == pytest.approx(0.2, abs=0.03)
    assert (has_image[:, 0] & ~image[:, 0])[both].mean() == pytest.approx(0.2, abs=0.03)
    assert (text == has_text)[~both].all()


def test_without_dropout_nothing_is_hidden() -> None:
    has_text, has_image = np.ones(50, dtype=bool), np.ones((50, 1), dtype=bool)
    text, image = drop_modalities(has_text, has_image, 0.0, np.random.default_rng(0))
    assert text.all()
    assert image.all()


def test_products_are_drawn_equally_often_whatever_their_clicks(tokenizer: Tokenizer) -> None:
    catalogue = Catalogue([Product(f"p{number}", f"mug {number}") for number in range(12)])
    clicks = [
        Click("mug", "p0", 10_000, 10_000),
        *(Click("lamp", f"p{number}", 1, 1) for number in range(1, 12)),
    ]
    found = examples(tokenizer, clicks, catalogue)
    popular = sum(
        bool((batch.query_ids[:, 1] == found.query_tokens[0][1]).any()) for batch in drawn(found, steps=300)
    )
    assert 100 < popular < 200  # 6 of 12 products are in a batch
