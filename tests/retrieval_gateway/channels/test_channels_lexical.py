import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lexical import lexical_index, slow_ranking

from faults import InternalError, InvalidInput
from retrieval_gateway.channels import lexical as channel
from retrieval_gateway.channels import scoring
from retrieval_gateway.channels.lexical import LexicalIndex

SHOP = (
    ("Red mug", "for tea, dishwasher proof"),
    ("Blue mug", "a mug for tea and coffee"),
    ("Jacket", "a red jacket for men"),
    ("Running shoes", "men's shoes for running, red"),
    ("", ""),
    ("The lamp", "to be or not to be"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> LexicalIndex:
    return lexical_index(tmp_path_factory.mktemp("shop"), SHOP)


def many_texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of forty words that are seldom and often used; every third product is one and the same."""
    random = np.random.default_rng(seed)
    words = np.array(
        [f"{first}{second}" for first in "bdfgklmn" for second in ("ax", "ix", "ox", "ux", "ex")]
    )
    chosen = np.minimum(random.geometric(0.12, (count, 10)) - 1, len(words) - 1)
    chosen[::3] = chosen[0]
    return [(" ".join(words[row[:3]]), " ".join(words[row[3:]])) for row in chosen]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[LexicalIndex, list[tuple[str, str]]]:
    texts = many_texts(3000)
    return lexical_index(tmp_path_factory.mktemp("many"), texts), texts


def stems_of(index: LexicalIndex, text: str) -> list[str]:
    return [word.stem for word in index.words(text)]


@pytest.mark.parametrize("query", ["bax", "bax dix", "mux nex fox", "kax bax gux lix dox"])
def test_scores_and_order_are_those_of_the_formula(many, query: str) -> None:
    index, texts = many
    found, expected = index.search(query, 3000), slow_ranking(texts, stems_of(index, query), 3000)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    assert found.scores.dtype == np.float32
    assert set(found.rows.tolist()) == set(expected.rows.tolist())
    # float32 sums may swap products whose scores differ in the last digit; within a score, rows rise.
    assert np.all(np.diff(found.scores) <= 0)
    ties = np.diff(found.scores) == 0
    assert ties.sum() > 900
    assert np.all(np.diff(found.rows)[ties] > 0)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("by_row_set", [False, True])
@pytest.mark.parametrize("k", [1, 10, 100, 1100])
def test_filters_are_exact(
    many, monkeypatch: pytest.MonkeyPatch, share: float, by_row_set: bool, k: int
) -> None:
    index, _ = many
    monkeypatch.setattr(channel, "_ROW_SET_HITS", -(10**9) if by_row_set else 10**9)
    allowed = np.zeros(index.count, np.bool_)
    allowed[np.random.default_rng(k).choice(index.count, round(share * index.count), replace=False)] = True
    for query in ("bax", "mux nex fox", "kax bax gux lix dox"):
        whole = index.search(query, index.count)
        within = allowed[whole.rows]
        found = index.search(query, k, allowed)
        np.testing.assert_array_equal(found.rows, whole.rows[within][:k])
        np.testing.assert_array_equal(found.scores, whole.scores[within][:k])


def test_of_tied_products_the_lowest_rows_are_found(many) -> None:
    index, texts = many
    query = " ".join(texts[0])
    found = index.search(query, 400).rows
    assert found[found % 3 == 0].tolist() == list(range(0, 3 * np.count_nonzero(found % 3 == 0), 3))
    odd = np.arange(index.count) % 2 == 1
    found = index.search(query, 50, odd).rows
    assert found[found % 3 == 0].tolist() == list(range(3, 6 * np.count_nonzero(found % 3 == 0), 6))
    assert np.count_nonzero(found % 3 == 0) > 40


def test_an_index_of_several_segments_answers_like_one_of_one(tmp_path: Path) -> None:
    texts = many_texts(30_000)
    one = lexical_index(tmp_path, texts, 200_000_000)
    several = lexical_index(tmp_path, texts, 15_000_000, name="several")
    assert one._searcher.num_segments == 1 < several._searcher.num_segments
    allowed = np.arange(len(texts)) % 7 == 2
    for query in ("bax", "mux nex fox", " ".join(texts[0])):
        for k, mask in ((5, None), (500, None), (40, allowed)):
            expected, found = one.search(query, k, mask), several.search(query, k, mask)
            np.testing.assert_array_equal(found.rows, expected.rows)
            np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


def test_no_product_reaches_the_ceiling(many) -> None:
    index, _ = many
    for query in ("bax", "kax bax", "mux nex fox bax kax"):
        found = index.search(query, 10)
        assert found.ceiling is not None
        assert 0 < found.scores[0] < found.ceiling


def test_the_more_words_a_product_has_the_nearer_it_comes_to_the_ceiling(shop: LexicalIndex) -> None:
    one, both = shop.search("mug", 5), shop.search("red mug", 5)
    assert both.rows[0] == 0
    assert one.ceiling is not None
    assert both.ceiling is not None
    assert one.ceiling < both.ceiling
    # the blue mug has one of two words: its share falls
    blue = both.scores[both.rows.tolist().index(1)]
    assert blue / both.ceiling < one.scores[one.rows.tolist().index(1)] / one.ceiling


def test_the_title_counts_more_than_the_description(tmp_path: Path) -> None:
    index = lexical_index(tmp_path, [("a b", "mug c"), ("mug c", "a b"), ("d", "e")])
    assert index.search("mug", 3).rows.tolist() == [1, 0]


def test_all_words_once_come_before_one_word_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filler = [(f"thing{number}", "plain") for number in range(10)]
    index = lexical_index(tmp_path, [("mug mug", "mug mug mug"), ("thing", "a mug, red"), *filler])
    assert index.search("red mug", 3).rows.tolist() == [1, 0]
    monkeypatch.setattr(scoring, "WORTH", 0.0)  # BM25 without the plus
    assert index.search("red mug", 3).rows.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("mugs", {0, 1}),
        ("RED Mug!", {0, 1, 2, 3}),
        ("shoes -red", {3, 0, 2}),
        ("title:mug", {0, 1}),
        ("m*g", set()),
        ('"red jacket"~3', {0, 2, 3}),
        ("mug AND", {0, 1}),
        ("(mug", {0, 1}),
        ("mug\\", {0, 1}),
        ("men's", {2, 3}),
        ("the mug for a", {0, 1}),
        ("to be", {5}),
        ("the", {5}),
        ("", set()),
        (" \t\n", set()),
        ("👍🏽", set()),
        ("👍 mug", {0, 1}),
        ("mug " * 250, {0, 1}),
        ("q" * 1000, set()),
        ("\x00\ud800 mug", {0, 1}),
        ("zebra", set()),
    ],
)
def test_a_query_is_words_and_never_syntax(shop: LexicalIndex, query: str, rows: set[int]) -> None:
    assert set(shop.search(query, 10).rows.tolist()) == rows


@given(st.text(max_size=200))
def test_no_text_is_an_error(shop: LexicalIndex, text: str) -> None:
    found = shop.search(text, 4)
    assert len(found.rows) == len(found.scores) == len(set(found.rows.tolist())) <= 4
    assert [bool(words) for words in shop.matched_words(text, found.rows)] == [True] * len(found.rows)


def test_a_long_query_of_unknown_words_looks_near_a_few_of_them_only(
    shop: LexicalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(channel, "mended_stem", lambda word, _: tried.append(word))
    assert shop.words(" ".join(f"unknown{number}" for number in range(99))) == []
    assert tried == [f"unknown{number}" for number in range(4)]


@pytest.mark.parametrize(
    ("typed", "meant", "rows"),
    [
        ("jakcet", "jacket", {2}),
        ("jackett", "jacket", {2}),
        ("runing", "run", {3}),
        ("cofee", "coffe", {1}),
        ("mvg", None, set()),
        ("jjaackett", None, set()),
    ],
)
def test_an_unknown_word_of_five_letters_is_mended_by_one_edit(
    shop: LexicalIndex, typed: str, meant: str | None, rows: set[int]
) -> None:
    assert [word.stem for word in shop.words(typed)] == ([meant] if meant else [])
    assert set(shop.search(typed, 5).rows.tolist()) == rows


def test_a_known_word_is_not_mended(tmp_path: Path) -> None:
    index = lexical_index(tmp_path, [("rocket", "x")] + [("jacket pocket", "x")] * 5)
    assert [word.stem for word in index.words("rocket")] == ["rocket"]


def test_matched_words_are_those_of_each_product_as_typed(shop: LexicalIndex) -> None:
    rows = np.array([3, 0, 4, 3])
    assert shop.matched_words("Red RUNING shoes for Zebras", rows) == [
        ["red", "runing", "shoes"],
        ["red"],
        [],
        ["red", "runing", "shoes"],
    ]
    assert shop.matched_words("red", np.empty(0, np.int64)) == []
    assert shop.matched_words("👍", np.array([1])) == [[]]


def test_many_words_are_told_apart(tmp_path: Path) -> None:
    words = [f"{first}{second}" for first in "bcdfghjklm" for second in ("ab", "ob", "ub", "eb", "ib")]
    index = lexical_index(tmp_path, [(" ".join(words[::2]), ""), ("", " ".join(words[1::2])), ("x", "y")])
    found = index.matched_words(" ".join(words), np.array([1, 0, 2]))
    assert found == [words[1::2], words[::2], []]


def test_masks_that_allow_nothing_or_are_of_another_shape(shop: LexicalIndex) -> None:
    assert len(shop.search("mug", 3, np.zeros(6, np.bool_)).rows) == 0
    with pytest.raises(InternalError, match=r"bool \[6\]"):
        shop.search("mug", 3, np.ones(5, np.bool_))
    with pytest.raises(InternalError):
        shop.search("mug", 3, np.ones(6, np.int8))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="k >= 1"):
        shop.search("mug", 0)


def test_threads_find_what_one_finds(many) -> None:
    index, _ = many
    queries = ["bax", "mux nex fox", "kax bax gux lix dox", "jaxx", "fex dix"] * 20
    allowed = np.arange(index.count) % 3 != 1
    expected = [index.search(query, 50, allowed) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: index.search(query, 50, allowed), queries))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_search_lets_other_threads_run(many) -> None:
    index, _ = many
    gate, ran = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: (gate.wait(), ran.set()))
    other.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # nobody is interrupted: the other runs only where the search lets it
    try:
        gate.set()
        query = index._scoring.scored("bax")
        for _ in range(2000):
            index._searcher.search(query, limit=1000, count=False)
            if ran.is_set():
                break
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        other.join()
