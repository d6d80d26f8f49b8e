"""What a query is about, and what is therefore left out."""

import pytest

from retrieval_gateway.ranking.relevance import (
    BEST,
    categories_about,
    decisive_words,
    most_products_of_a_rare_word,
    other_category,
)


@pytest.mark.parametrize(
    ("best", "about"),
    [
        (["mugs"] * 10, {"mugs"}),
        (["mugs"] * 7 + ["shoes"] * 3, {"mugs", "shoes"}),
        (["mugs"] * 8 + ["shoes"] * 2, {"mugs"}),
        (["mugs"] * 3 + [""] * 7, {"mugs"}),
        (["mugs"] * 2 + [""] * 8, set()),
        (["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], set()),
        (["mugs", "shoes"], {"mugs", "shoes"}),
        ([], set()),
    ],
)
def test_a_query_is_about_what_three_of_its_best_ten_are_of(best, about):
    assert categories_about(best) == about
    assert BEST == 10


def test_another_category_is_left_out_and_none_is_kept():
    assert other_category(["mugs", "shoes", "", "mugs"], frozenset({"mugs"})).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert not other_category(["mugs", "shoes"], frozenset()).any()


FREQUENCIES = {"red": 400, "enamel": 3, "mug": 50, "zebra": 0, "fifty": 51}


def products_with(word: str, most: int) -> int:
    return min(most, FREQUENCIES.get(word, 0))


def test_rare_words_and_keywords_decide():
    words = decisive_words("red enamel-mug, zebra fifty mug", ("stoneware", "mug"), 1000, products_with)
    assert words == ("enamel", "mug", "stoneware")


def test_a_query_of_frequent_words_has_no_decisive_one():
    assert decisive_words("red fifty", (), 1000, products_with) == ()


@pytest.mark.parametrize(("products", "most"), [(1, 1), (10, 1), (1000, 50), (10_000_000, 1000)])
def test_a_rare_word_is_in_few_products_and_at_most_in_so_many(products, most):
    assert most_products_of_a_rare_word(products) == most
