import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.keyword_table import KeywordTable, jaccard
from catalog.schema import Click
from faults import CatalogueError, InvalidInput
from towers.data.keywords import Floors, intent_words, keyword_overlap, mine_keywords, words_of

TITLES = {
    "a": "Red stoneware mug Calla",
    "b": "Stoneware mugs, set of 2",
    "c": "Steel bolt M6x30",
    "d": "Steel screw M6x30 zinc",
    "e": "Mug of steel",
}
CLICKS = [
    Click("cup", "a", 9, 20),
    Click("cup", "b", 4, 20),
    Click("cup", "e", 1, 20),
    Click("bolts", "c", 9, 20),
    Click("Bolts ", "d", 4, 20),
    Click("mug", "a", 9, 20),
    Click("mug", "b", 9, 20),
]
LOOSE = Floors(products=1, clicks=1, share=0.0, lift=0.0)


def test_words_from_clicked_titles_that_are_rarer_elsewhere() -> None:
    table = mine_keywords(CLICKS, TITLES, floors=Floors(lift=1.2))
    assert table.of("cup") == ("mug", "stoneware", "of")
    assert table.of("bolts") == ("m6x30", "steel")


def test_what_was_typed_is_no_keyword_in_the_singular_or_in_the_plural() -> None:
    titles = {"a": "mug stoneware", "b": "mugs stoneware", "c": "bolt", "d": "bolt"}
    clicks = [Click(query, product_id, 5, 9) for query in ("mug", "mugs") for product_id in "ab"]
    clicks += [Click("x", product_id, 5, 9) for product_id in "cd"]
    table = mine_keywords(clicks, titles, floors=Floors(lift=1.0))
    assert table.of("mug") == table.of("mugs") == ("stoneware",)


def test_the_score_is_the_share_times_the_pmi() -> None:
    """Against the definition, written down with probabilities; the order is that of the scores."""
    weight = {(click.query.strip().lower(), click.product_id): math.sqrt(click.clicks) for click in CLICKS}
    total = sum(weight.values())

    def probability(query: str | None, word: str | None) -> float:
        return (
            sum(
                one
                for (asked, product_id), one in weight.items()
                if query in (None, asked) and (word is None or word in words_of(TITLES[product_id]))
            )
            / total
        )

    def score(query: str, word: str) -> float:
        joint, asked = probability(query, word), probability(query, None)
        return joint / asked * math.log(joint / (asked * probability(None, word)))

    table = mine_keywords(CLICKS, TITLES, per_query=99, floors=LOOSE)
    for query, found in table.keywords.items():
        scores = [score(query, word) for word in found]
        assert scores == sorted(scores, reverse=True)
    assert set(table.of("bolts")) == {"steel", "m6x30", "screw", "zinc"}  # "bolt" was typed


@pytest.mark.parametrize(
    ("floors", "lost"),
    [
        (LOOSE, set()),
        (LOOSE._replace(products=2), {"calla", "red", "set", "mugs", "steel"}),
        (LOOSE._replace(clicks=2), {"steel"}),
        (LOOSE._replace(share=0.2), {"steel"}),
        (LOOSE._replace(lift=1.0), {"steel"}),
    ],
)
def test_each_floor_keeps_its_own_words_out(floors: Floors, lost: set[str]) -> None:
    every = {"stoneware", "mug", "mugs", "red", "calla", "set", "of", "steel"}
    table = mine_keywords(CLICKS, TITLES, per_query=99, floors=LOOSE)
    assert set(table.of("cup")) == every
    table = mine_keywords(CLICKS, TITLES, per_query=99, floors=floors)
    assert set(table.of("cup")) == every - lost


def test_equal_logs_in_any_order_give_equal_tables() -> None:
    tables = set()
    for seed in range(4):
        clicks, titles = list(CLICKS), list(TITLES.items())
        random.Random(seed).shuffle(clicks)
        random.Random(seed).shuffle(titles)
        tables.add(mine_keywords(clicks, dict(titles), floors=LOOSE).to_json())
    assert len(tables) == 1


def test_impressions_without_a_click_say_nothing() -> None:
    unclicked = [*CLICKS, Click("cup", "c", 0, 500), Click("lamp", "c", 0, 9)]
    assert mine_keywords(unclicked, TITLES, floors=LOOSE) == mine_keywords(CLICKS, TITLES, floors=LOOSE)


def test_unknown_products_are_counted_with_examples() -> None:
    clicks = [*CLICKS, Click("cup", "zz", 1, 1), Click("mug", "zz", 1, 1), Click("mug", "yy", 1, 1)]
    with pytest.raises(CatalogueError, match=r"2 clicked products .*3 rows.*'zz', 'yy'"):
        mine_keywords(clicks, TITLES)


def test_a_table_of_no_keywords_is_refused() -> None:
    with pytest.raises(InvalidInput):
        mine_keywords(CLICKS, TITLES, per_query=0)


def test_words_keep_type_numbers_whole_and_lose_punctuation() -> None:
    assert words_of("SMD-2 (men's) 3.5mm_Käse, 240 x 220") == [
        "smd-2", "men's", "3.5mm", "käse", "240", "x", "220",
    ]  # fmt: skip


def test_intents_tell_colours_apart_that_no_title_names() -> None:
    table = KeywordTable({"red mugs": ("stoneware",), "blue mug": ("stoneware",)})
    assert intent_words("red mugs", table) == {"red", "mug", "stoneware"}
    assert intent_words("Mug red", table) == {"red", "mug"}
    assert intent_words("Mugs in red", table) == {"red", "mug"}
    assert intent_words("blue mug", table) != intent_words("red mugs", table)


sets = st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=7)


@given(sets, st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.8, 1.0]))
def test_overlap_is_jaccards_measure(words: list[frozenset[str]], threshold: float) -> None:
    same = keyword_overlap(words, threshold)
    assert same.shape == (len(words), len(words))
    for (i, one), (j, other) in itertools.product(enumerate(words), repeat=2):
        assert same[i, j] == (i == j or jaccard(one, other) >= threshold)


def test_queries_without_words_are_alike_to_themselves_alone() -> None:
    assert np.array_equal(keyword_overlap([frozenset(), frozenset()], 0.5), np.eye(2, dtype=bool))


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        keyword_overlap([frozenset("a")], threshold)
    assert caught.value.value == threshold
