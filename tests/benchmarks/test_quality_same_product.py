"""The measurement of picture to picture: who asks, who is a candidate, what is right."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.tiny_shop import tiny_checkpoint

from benchmarks.quality.pictures_alone import picture_vectors
from benchmarks.quality.same_product import main, measure
from catalog.held_out import is_held_out
from catalog.photographs import Photograph
from towers.checkpoint import save_checkpoint

HELD = [name for name in map(str, range(200)) if is_held_out(name)]
TRAINED = [name for name in map(str, range(200)) if not is_held_out(name)]


def photograph(style: str, colour: str, view: str, split: str = "") -> Photograph:
    return Photograph(f"{style}-{colour}", view, b"", style, split)


PHOTOGRAPHS = [
    photograph(HELD[0], "red", "main"),
    photograph(HELD[0], "red", "back"),
    photograph(HELD[0], "blue", "main"),
    photograph(TRAINED[0], "red", "main"),
    photograph(TRAINED[0], "red", "alt1"),
    photograph(TRAINED[1], "x", "iconic"),
    photograph(TRAINED[1], "x", "shelf photo", "test"),
    photograph(TRAINED[1], "x", "shelf photo", "train"),
    photograph(HELD[1], "y", "iconic"),
    photograph(HELD[1], "y", "shelf photo", "test"),
]


def one_hot(*places: int) -> np.ndarray:
    return np.eye(8, dtype=np.float32)[list(places)]


#                 red back blue | main alt | iconic test train | iconic test
RIGHT = one_hot(0, 0, 1, 2, 2, 3, 3, 3, 4, 4)
LOST = one_hot(0, 2, 1, 2, 0, 3, 4, 3, 4, 4)


def test_who_asks_and_who_is_a_candidate() -> None:
    figures = measure(PHOTOGRAPHS, {"right": RIGHT})
    counts = {
        (task, part): (values["queries"], values["candidates"])
        for task, parts in figures.items()
        for part, values in parts.items()
    }
    assert counts == {
        ("luma_other_view_to_main", "held_out"): (1, 2),
        ("luma_other_view_to_main", "held_out_among_all"): (1, 3),
        ("luma_other_view_to_main", "all"): (2, 3),
        ("luma_main_to_other_colour", "held_out"): (2, 2),
        ("luma_main_to_other_colour", "held_out_among_all"): (2, 3),
        ("luma_main_to_other_colour", "all"): (2, 3),
        ("grocery_shelf_to_iconic", "test"): (2, 2),
        ("grocery_shelf_to_iconic", "test_held_out_styles"): (1, 2),
    }


def test_what_is_found() -> None:
    figures = measure(PHOTOGRAPHS, {"right": RIGHT, "lost": LOST})
    views, shelves = figures["luma_other_view_to_main"], figures["grocery_shelf_to_iconic"]
    assert views["all"]["right"] == {"r_at_1": 1.0, "r_at_10": 1.0}
    # The back photograph of the held-out style lies on the trained style's main one, and ties count against.
    assert views["held_out_among_all"]["lost"] == {"r_at_1": 0.0, "r_at_10": 1.0}
    assert shelves["test"]["right"]["r_at_1"] == 1.0
    assert shelves["test"]["lost"]["r_at_1"] == 0.5
    assert shelves["test_held_out_styles"]["lost"]["r_at_1"] == 1.0


def test_a_main_photograph_is_not_shown_itself() -> None:
    # Red and blue of a style are far apart; each is nearest to itself, and then to nothing in particular.
    found = measure(PHOTOGRAPHS, {"right": RIGHT})["luma_main_to_other_colour"]
    assert found["held_out"]["right"]["r_at_1"] == 1.0  # the only candidate that is left
    assert found["held_out_among_all"]["right"]["r_at_1"] == 0.0  # ties with the other style's


def test_nobody_asks() -> None:
    figures = measure(PHOTOGRAPHS[3:5], {"right": RIGHT[3:5]})
    assert figures["luma_other_view_to_main"]["held_out"]["right"] == {"r_at_1": None, "r_at_10": None}


def test_the_vectors_are_those_of_products_without_words() -> None:
    towers = tiny_checkpoint(views=2).towers
    pixels = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    vectors = picture_vectors(towers, pixels, views=2)
    assert vectors.shape == (3, 16)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[1:2], picture_vectors(towers, pixels[1:2], views=2), atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])


def test_the_command_prints_json_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    stream = [io.BytesIO() for _ in PHOTOGRAPHS]
    for file in stream:
        Image.fromarray(random.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(file, "JPEG")
    columns = {
        "group_id": [one.group_id for one in PHOTOGRAPHS],
        "view": [one.view for one in PHOTOGRAPHS],
        "style_group": [one.style_group for one in PHOTOGRAPHS],
        "split": [one.split for one in PHOTOGRAPHS],
        "jpeg": [file.getvalue() for file in stream],
    }
    pq.write_table(pa.table(columns), tmp_path / "images.parquet")
    save_checkpoint(tiny_checkpoint(), tmp_path / "checkpoint")
    main([str(tmp_path / "checkpoint"), "--data", str(tmp_path)])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["grocery_shelf_to_iconic"]["test"]["queries"] == 2
    assert set(figures["luma_other_view_to_main"]["all"]) == {
        "candidates",
        "queries",
        "towers",
        "colour_histogram",
    }
