import hashlib

import numpy as np
import pytest

import catalog.preprocessing as preprocessing
from catalog.held_out import is_held_out, is_held_out_product
from catalog.preprocessing import preprocessing_hash
from catalog.schema import Product


def test_the_hash_is_stable_and_depends_on_every_number() -> None:
    base = preprocessing_hash(64, 32, 48)
    assert base == preprocessing_hash(64, 32, 48)
    assert len(base) == 64
    others = {
        preprocessing_hash(*numbers) for numbers in ((65, 32, 48), (64, 33, 48), (64, 32, 49), (64, 32))
    }
    assert len(others | {base}) == 5


def test_a_change_of_the_text_rule_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    base = preprocessing_hash(32, 16)
    monkeypatch.setattr(preprocessing, "normalise_text", lambda text: text.lower())
    assert preprocessing_hash(32, 16) != base


def test_a_change_of_the_picture_rule_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    base = preprocessing_hash(32, 16)
    original = preprocessing.letter_box

    def off_by_one(picture: object, size: int) -> object:
        pixels = original(picture, size).copy()  # type: ignore[arg-type]
        pixels[0, 0, 0] ^= 1
        return pixels

    monkeypatch.setattr(preprocessing, "letter_box", off_by_one)
    assert preprocessing_hash(32, 16) != base


def test_the_held_out_rule() -> None:
    names = [f"style-{n}" for n in range(5000)]
    for name in names[:50]:
        digest = int(hashlib.sha1(("g" + name).encode()).hexdigest(), 16)
        assert is_held_out(name) == (digest % 10 >= 7)
    assert np.mean([is_held_out(name) for name in names]) == pytest.approx(0.3, abs=0.03)


def test_a_product_without_style_group_goes_by_its_id() -> None:
    for n in range(20):
        assert is_held_out_product(Product(f"p{n}")) == is_held_out(f"p{n}")
        assert is_held_out_product(Product(f"p{n}", style_group="s")) == is_held_out("s")
