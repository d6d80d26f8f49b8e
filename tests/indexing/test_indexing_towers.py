"""Which exported pair a release may be made of."""

from pathlib import Path

import pytest
from support.exported_pairs import write_pair

from catalog.tokenizer import train_tokenizer
from faults import InvalidInput, Mismatch, NotFound
from indexing.release_builder import newest_towers


def test_the_newest_pair_is_taken_with_its_tokenizer(tmp_path: Path) -> None:
    write_pair(tmp_path, version=9)
    tokenizer = write_pair(tmp_path, version=10)
    towers = newest_towers(tmp_path)
    assert (towers.query.version, towers.product.version) == (10, 10)
    assert towers.tokenizer.to_bytes() == tokenizer.to_bytes()
    spec = towers.spec
    assert (spec.query_version, spec.product_version) == (10, 10)
    assert (spec.max_query_tokens, spec.max_product_tokens, spec.picture_size, spec.views) == (8, 10, 16, 1)


def test_an_empty_repository_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        newest_towers(tmp_path)
    assert caught.value.value == str(tmp_path)
    assert "vitrine export" in caught.value.fix


@pytest.mark.parametrize(
    ("field", "ours", "theirs"),
    [
        ("dim", 16, 32),
        ("tokenizer_sha256", None, "f" * 64),
        ("preprocessing_hash", None, "e" * 64),
        ("max_query_tokens", 8, 9),
        ("picture_size", 16, 24),
        ("command", "vitrine export", "vitrine export other"),
    ],
)
def test_towers_that_do_not_belong_together_are_refused_with_both_values(
    tmp_path: Path, field: str, ours: object, theirs: object
) -> None:
    write_pair(tmp_path, of_product={field: theirs})
    with pytest.raises(Mismatch) as caught:
        newest_towers(tmp_path)
    assert caught.value.field == f"{field} of query_tower and product_tower"
    assert caught.value.found == theirs
    assert ours is None or caught.value.expected == ours
    assert str(caught.value.expected) in str(caught.value)
    assert str(theirs) in str(caught.value)


def test_a_version_that_only_one_tower_has_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    write_pair(tmp_path, version=2)
    for path in (tmp_path / "product_tower" / "2").iterdir():
        path.unlink()
    (tmp_path / "product_tower" / "2").rmdir()
    with pytest.raises(Mismatch) as caught:
        newest_towers(tmp_path)
    assert (caught.value.expected, caught.value.found) == (2, 1)


def test_a_network_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "product_tower" / "1" / "model.onnx").write_bytes(b"somebody else's network")
    with pytest.raises(Mismatch, match=r"sha256 of .*product_tower/1/model\.onnx"):
        newest_towers(tmp_path)


def test_another_tokenizer_beside_the_network_is_refused_with_both_values(tmp_path: Path) -> None:
    tokenizer = write_pair(tmp_path)
    other = train_tokenizer(["quite other words"], 200)
    (tmp_path / "query_tower" / "1" / "tokenizer.json").write_bytes(other.to_bytes())
    with pytest.raises(Mismatch, match="tokenizer sha256") as caught:
        newest_towers(tmp_path)
    assert (caught.value.expected, caught.value.found) == (tokenizer.sha256, other.sha256)


def test_towers_of_other_preprocessing_rules_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pair(tmp_path)
    monkeypatch.setattr("catalog.preprocessing.RULES_VERSION", 1000)
    with pytest.raises(Mismatch, match="preprocessing hash") as caught:
        newest_towers(tmp_path)
    assert caught.value.expected != caught.value.found
    assert "vitrine export" in caught.value.fix


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "query_tower" / "1" / "export.json").write_text("{")
    with pytest.raises(InvalidInput, match="export record"):
        newest_towers(tmp_path)
