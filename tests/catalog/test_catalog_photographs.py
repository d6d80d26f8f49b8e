"""Several photographs of one product: reading, what is held out, decoding."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalog.held_out import is_held_out
from catalog.photographs import (
    Photograph,
    decode_photographs,
    is_held_out_photograph,
    read_photographs,
)
from faults import CatalogueError

RED, BLUE = (220, 20, 30), (10, 40, 200)


def jpeg(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def write(folder: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), folder / "images.parquet")
    return folder


def photograph(style: str = "a", split: str = "", data: bytes = b"") -> Photograph:
    return Photograph("one", "main", data, style, split)


def test_what_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        group_id=["mug-red", "mug-red", "lamp"],
        view=["main", None, "back"],
        style_group=["mug", "mug", None],
        split=[None, "train", "test"],
        jpeg=[b"1", b"2", b"3"],
    )
    assert read_photographs(tmp_path) == [
        Photograph("mug-red", "main", b"1", "mug", ""),
        Photograph("mug-red", "main", b"2", "mug", "train"),
        Photograph("lamp", "back", b"3", "lamp", "test"),
    ]


def test_only_group_and_picture_are_needed(tmp_path: Path) -> None:
    write(tmp_path, group_id=["mug"], jpeg=[b"1"])
    assert read_photographs(tmp_path) == [Photograph("mug", "main", b"1", "mug", "")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"group_id": ["a"]}, "missing columns jpeg"),
        ({"group_id": ["a", " "], "jpeg": [b"1", b"2"]}, r"1 rows have no group_id: 2"),
        ({"group_id": ["a", "b"], "jpeg": [b"1", None]}, r"1 rows have no picture: 'b'"),
        ({"group_id": ["a"], "jpeg": [b"1"], "split": ["tset"]}, r"1 names of splits are not known: 'tset'"),
        ({"group_id": ["a"], "jpeg": ["text"]}, "not bytes"),
    ],
)
def test_what_is_refused(tmp_path: Path, columns: dict[str, list[Any]], said: str) -> None:
    write(tmp_path, **columns)
    with pytest.raises(CatalogueError, match=said):
        read_photographs(tmp_path)


def test_a_folder_without_photographs_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"there is no images\.parquet") as raised:
        read_photographs(tmp_path / "nowhere")
    assert "nowhere" in str(raised.value)


def test_held_out_are_the_held_out_styles_and_every_split_but_train() -> None:
    trained = next(name for name in map(str, range(100)) if not is_held_out(name))
    held = next(name for name in map(str, range(100)) if is_held_out(name))
    assert [is_held_out_photograph(photograph(trained, split)) for split in ("", "train", "val", "test")] == [
        False,
        False,
        True,
        True,
    ]
    assert is_held_out_photograph(photograph(held, "train"))


def test_they_are_decoded_in_their_order() -> None:
    done: list[int] = []
    decoded = decode_photographs(
        [photograph(data=jpeg(RED)), photograph(data=jpeg(BLUE))], 8, progress=done.append
    )
    assert decoded.pixels.shape == (2, 8, 8, 3)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.groups == ("one", "one")
    for picture, colour in zip(decoded.pixels, (RED, BLUE), strict=True):
        assert np.abs(picture.reshape(-1, 3).mean(axis=0) - np.array(colour)).max() < 8
    assert done == [1, 2]


def test_a_damaged_one_is_refused_or_skipped_and_named() -> None:
    both = [photograph(data=jpeg(RED)), Photograph("broken", "back", jpeg(BLUE)[:60], "b")]
    with pytest.raises(CatalogueError, match=r"1 photographs cannot be decoded: broken/back"):
        decode_photographs(both, 8)
    decoded = decode_photographs(both, 8, on_bad="skip")
    assert decoded.groups == ("one",)
    assert [bad.product_id for bad in decoded.skipped] == ["broken"]


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(CatalogueError, match="no photograph is left"):
        decode_photographs([], 8)


def test_the_fingerprint_follows_pixels_and_groups() -> None:
    red, blue = photograph(data=jpeg(RED)), photograph(data=jpeg(BLUE))
    other = Photograph("two", "main", jpeg(RED), "a")
    prints = {decode_photographs([one], 8).fingerprint() for one in (red, blue, other)}
    assert len(prints) == 3
    assert decode_photographs([red], 8).fingerprint() in prints
