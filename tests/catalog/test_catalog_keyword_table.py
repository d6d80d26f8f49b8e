import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.keyword_table import FORMAT, KeywordTable, jaccard
from catalog.text import normalise_text
from faults import InvalidInput, Mismatch

TABLE = KeywordTable({"red mug": ("cup", "stoneware"), "tee": ("t-shirt",), "lamp": ()})


@pytest.mark.parametrize("spelling", ["red mug", "  RED\tmug\n", "Ｒｅｄ mug", "red\u200b mug"])
def test_every_spelling_of_a_query_finds_its_keywords(spelling: str) -> None:
    assert TABLE.of(spelling) == ("cup", "stoneware")


@pytest.mark.parametrize("query", ["mug red", "red", "", "lamp"])
def test_an_unseen_query_has_none(query: str) -> None:
    assert TABLE.of(query) == ()
    assert TABLE.enrich(query, TABLE.of(query)) == query


def test_queries_without_keywords_do_not_count() -> None:
    assert len(TABLE) == 2


def test_keywords_follow_what_was_typed() -> None:
    assert TABLE.enrich("Red mug", TABLE.of("Red mug")) == "Red mug, cup stoneware"


def test_keys_are_normalised_when_a_table_is_made() -> None:
    assert KeywordTable({"Red  MUG": ("cup",)}) == KeywordTable({"red mug": ("cup",)})


def test_two_spellings_of_one_query_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        KeywordTable({"Mug": ("cup",), "mug": ("bowl",)})
    assert caught.value.value == "mug"


def test_a_table_does_not_change() -> None:
    given_words = {"mug": ("cup",)}
    table = KeywordTable(given_words)
    given_words["mug"] = ("bowl",)
    assert table.of("mug") == ("cup",)
    with pytest.raises(TypeError):
        table.keywords["mug"] = ("bowl",)  # type: ignore[index]


words = st.text().map(normalise_text).filter(bool)


@given(st.dictionaries(words, st.lists(words).map(tuple)))
def test_what_is_written_is_read(keywords: dict[str, tuple[str, ...]]) -> None:
    table = KeywordTable(keywords)
    assert KeywordTable.from_json(table.to_json()) == table


def test_equal_tables_give_equal_bytes_in_whatever_order_they_were_made() -> None:
    one, other = (KeywordTable(dict(sorted(TABLE.keywords.items(), reverse=way))) for way in (True, False))
    assert list(one.keywords) != list(other.keywords)
    assert one.to_json() == other.to_json()


def test_the_file_is_readable_by_people() -> None:
    assert "café" in KeywordTable({"café": ("tasse",)}).to_json().decode("utf-8")


def test_another_format_is_refused_with_both_numbers() -> None:
    data = json.dumps({"format": FORMAT + 1, "keywords": {}}).encode()
    with pytest.raises(Mismatch, match=rf"expected {FORMAT}, found {FORMAT + 1}"):
        KeywordTable.from_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"keywords": {}}',
        b'{"format": 1}',
        b'{"format": 1, "keywords": []}',
        b'{"format": 1, "keywords": {"mug": "cup"}}',
        b'{"format": 1, "keywords": {"mug": [1]}}',
        b'{"format": 1, "keywords": {"mug": [""]}}',
        b'{"format": 1, "keywords": {"mug": ["Cup"]}}',
        b'{"format": 1, "keywords": {"mug": ["cup"], "MUG": ["cup"]}}',
        TABLE.to_json()[:-20],
    ],
)
def test_damage_is_refused_and_the_fix_is_named(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        KeywordTable.from_json(data)
    assert caught.value.field
    assert caught.value.fix


def test_jaccard() -> None:
    assert jaccard({"a", "b"}, {"b", "c"}) == pytest.approx(1 / 3)
    assert jaccard({"a"}, {"a"}) == 1.0
    assert jaccard({"a"}, {"b"}) == 0.0
    assert jaccard(set(), set()) == 0.0
