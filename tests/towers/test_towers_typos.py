"""Misspellings: how far they go, what they leave alone, and how a batch takes them."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults import InvalidInput
from towers.data.typos import NEIGHBOURS, misspell, misspell_all, tokens_with_typos

WORDS = st.sampled_from(
    ["mug", "striped", "t-shirt", "M6x30", "DIN-933", "24", "Küche", "aaaa", "(sofa)", "4k", "STRASSE", "x2y"]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.text(max_size=30))
SEEDS = st.integers(0, 2**32)


def distance(one: str, other: str) -> int:
    """The unrestricted Damerau-Levenshtein distance, which is a metric, by Lowrance and Wagner (1975)."""
    most = len(one) + len(other)
    table = np.full((len(one) + 2, len(other) + 2), most, dtype=int)
    table[1:, 1], table[1, 1:] = range(len(one) + 1), range(len(other) + 1)
    last_row: dict[str, int] = {}
    for i, a in enumerate(one, 1):
        last_column = 0
        for j, b in enumerate(other, 1):
            row, column = last_row.get(b, 0), last_column
            if a == b:
                last_column = j
            table[i + 1, j + 1] = min(
                table[i, j] + (a != b),
                table[i + 1, j] + 1,
                table[i, j + 1] + 1,
                table[row, column] + (i - row - 1) + 1 + (j - column - 1),
            )
        last_row[a] = i
    return int(table[-1, -1])


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [("", "ab", 2), ("mug", "mug", 0), ("mug", "mgu", 1), ("ca", "abc", 2), ("lamp", "lxpm", 2)],
)
def test_the_distance_of_this_file_counts_as_defined(one: str, other: str, steps: int) -> None:
    assert distance(one, other) == distance(other, one) == steps


def may_change(text: str) -> bool:
    """Whether any chunk without a digit has four letters in a row that have case."""
    return any(
        len(run) >= 4 and all(c.lower() != c.upper() for c in run)
        for chunk in text.split()
        if not any(c.isnumeric() for c in chunk)
        for run in re.findall(r"[^\W\d_]+", chunk)
    )


@given(TEXTS, st.integers(0, 3), SEEDS)
def test_a_misspelling_is_near_and_is_one(text: str, edits: int, seed: int) -> None:
    found = distance(text, misspell(text, edits, np.random.default_rng(seed)))
    assert found <= edits
    assert (found > 0) == (edits > 0 and may_change(text))


@given(TEXTS, st.integers(1, 3), SEEDS)
def test_the_same_seed_makes_the_same_mistakes(text: str, edits: int, seed: int) -> None:
    first = misspell(text, edits, np.random.default_rng(seed))
    assert misspell(text, edits, np.random.default_rng(seed)) == first


@given(TEXTS, st.integers(1, 4), SEEDS)
def test_numbers_model_codes_short_words_and_blanks_stay(text: str, edits: int, seed: int) -> None:
    wrong = misspell(text, edits, np.random.default_rng(seed))
    assert re.sub(r"\S+", "", wrong) == re.sub(r"\S+", "", text)
    for before, after in zip(text.split(), wrong.split(), strict=True):
        if any(c.isnumeric() for c in before) or len(before) < 4:
            assert after == before
        assert [c for c in after if c.isnumeric()] == [c for c in before if c.isnumeric()]
        assert after[0] == before[0]


def test_every_kind_of_error_happens_and_words_further_back_err_too() -> None:
    seen = {misspell("lamp stand", 1, np.random.default_rng(seed)) for seed in range(400)}
    assert {"lmp stand", "lmap stand", "lanp stand", "laamp stand", "lamp stamd", "lamp stnad"} <= seen


def test_two_edits_are_mostly_two() -> None:
    found = [
        distance("porcelain lampshade", misspell("porcelain lampshade", 2, np.random.default_rng(seed)))
        for seed in range(200)
    ]
    assert found.count(2) > 170


def test_a_letter_is_hit_only_by_a_neighbour_and_keeps_its_case() -> None:
    assert all(key in NEIGHBOURS[near] for key, nears in NEIGHBOURS.items() for near in nears)
    assert "".join(sorted(NEIGHBOURS)) == "abcdefghijklmnopqrstuvwxyz"
    assert set(NEIGHBOURS["g"]) == set("fhtyvb")
    assert all(misspell("STRASSE", 2, np.random.default_rng(seed)).isupper() for seed in range(50))


def test_negative_edits_are_refused() -> None:
    with pytest.raises(InvalidInput, match="edits"):
        misspell("striped", -1, np.random.default_rng(0))


def test_a_text_is_misspelt_alike_in_any_company() -> None:
    texts = ["striped mug", "porcelain", "M6x30"]
    assert misspell_all(texts[::-1], 2, 5) == misspell_all(texts, 2, 5)[::-1]
    assert misspell_all(texts, 2, 5) != misspell_all(texts, 2, 6)
    assert misspell_all(texts, 2, 5)[2] == "M6x30"


class Spelling:
    """Encodes a text as its characters, and counts the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        self.texts += texts
        return [[ord(character) for character in text] for text in texts]


QUERIES = ["striped mug", "M6x30", "porcelain lampshade"]
SPELT = Spelling()(QUERIES)


def batch(chance: float, seed: int, encode: Spelling, drawn: Sequence[int]) -> list[str]:
    random = np.random.default_rng(seed)
    tokens = tokens_with_typos(QUERIES, SPELT, np.array(drawn), chance, encode, random)
    return ["".join(map(chr, ids)) for ids in tokens]


def test_without_chance_the_tokens_are_those_of_the_log_and_nothing_is_tokenised() -> None:
    encode = Spelling()
    assert batch(0.0, 0, encode, [2, 0, 1]) == [QUERIES[2], QUERIES[0], QUERIES[1]]
    assert encode.texts == []


def test_a_batchs_misspelt_queries_stay_near_their_own_and_are_its_share() -> None:
    drawn = [0, 1, 2] * 100
    encode = Spelling()
    found = batch(0.3, 1, encode, drawn)
    steps = [distance(QUERIES[query], text) for query, text in zip(drawn, found, strict=True)]
    assert max(steps) == 2
    assert all(text == QUERIES[1] for text in found[1::3])
    assert 0.2 < len(encode.texts) / len(drawn) < 0.4
    assert steps.count(1) > steps.count(2) > 0
    assert Spelling()(QUERIES) == SPELT  # the log's own are left alone


def test_the_same_generator_draws_the_same_typos() -> None:
    assert batch(0.5, 3, Spelling(), [0, 2] * 5) == batch(0.5, 3, Spelling(), [0, 2] * 5)
    assert batch(0.5, 3, Spelling(), [0, 2] * 5) != batch(0.5, 4, Spelling(), [0, 2] * 5)
