import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.text import normalise_text


@given(st.text())
def test_normalising_twice_equals_normalising_once(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    for character in normalise_text(text):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co"}
    assert normalise_text(text) == normalise_text(text).strip()
    assert "  " not in normalise_text(text)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  Red\tMUG\n", "red mug"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("STRASSE", normalise_text("Straße")),
        ("cafe\u0301", "caf\u00e9"),
        ("zero\u200bwidth so\u00adft", "zerowidth soft"),
        ("a\u0000b\u0007c", "abc"),
        ("line\u2028break\u0085here", "line break here"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("ﬁne ½", "fine 1\u20442"),
        ("", ""),
        ("\u200b \u200b", ""),
        ("ͅ", "ι"),
    ],
)
def test_examples(raw: str, expected: str) -> None:
    assert normalise_text(raw) == expected


def test_every_single_character_settles() -> None:
    for code in range(0x2FFFF):
        once = normalise_text(chr(code))
        assert normalise_text(once) == once, hex(code)
