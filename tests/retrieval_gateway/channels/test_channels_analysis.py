import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.text import normalise_text
from retrieval_gateway.channels.analysis import analyse, split_words, stems
from retrieval_gateway.channels.spelling import edits, mended_stem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Men’s RUNNING shoes", ["men's", "running", "shoes"]),
        ("kids' T-shirt (XS)", ["kids", "t", "shirt", "xs"]),
        ("2.54mm pitch, v2.0. 1/4W 6x30", ["2.54mm", "pitch", "v2", "0", "1", "4w", "6x30"]),
        (
            '-red +"mug" title:cup* [a TO b] ~2 ^3 \\',
            ["red", "mug", "title", "cup", "a", "to", "b", "2", "3"],
        ),
        ("红色 dress", ["红", "色", "dress"]),
        ("👍 … !!", []),
        ("x" * 1000 + " mug", ["mug"]),
    ],
)
def test_a_text_is_cut_into_words_and_nothing_else_is_left(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("men's jackets", "mens jacket"),
        ("running", "runs"),
        ("Café Crème", "cafe creme"),
        ("ＦＵＬＬ　width", "full width"),
        ("İstanbul", "istanbul"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_spellings_that_a_shopper_takes_for_one_have_the_same_stems(one: str, other: str) -> None:
    assert analyse(one) == analyse(other) != []


@given(st.text(max_size=60))
def test_every_word_has_one_stem_and_normalising_first_changes_nothing(text: str) -> None:
    words = split_words(text)
    assert len(stems(words)) == len(words)
    assert split_words(normalise_text(text)) == words
    assert all(stem and not any(sign.isspace() for sign in stem) for stem in stems(words))


def test_edits_are_deletions_transpositions_substitutions_and_insertions() -> None:
    assert {"ed", "rd", "re", "erd", "rde", "bed", "rod", "reg", "bred", "read", "redo"} <= edits("red")
    assert "red" not in edits("red")
    # n deletions, n-1 transpositions, 25 n substitutions, 26 (n+1) insertions of which n repeat another one
    assert len(edits("abc")) == 3 + 2 + 75 + 104 - 3


def test_an_unknown_word_is_mended_to_the_most_frequent_known_one() -> None:
    known = {"jacket": 3, "racket": 9, "packet": 9}
    assert mended_stem("xacket", lambda stem: known.get(stem, 0)) == "packet"


@pytest.mark.parametrize("word", ["mugg", "abc12", "o'neil", "zzzzzzz"])
def test_a_word_is_left_alone_if_it_is_short_or_no_plain_word_or_near_to_none(word: str) -> None:
    assert mended_stem(word, lambda stem: int(stem in {"mug", "abc1", "neil"})) is None
