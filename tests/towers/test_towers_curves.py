import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from towers.training.curves import Curves, Point, curves_json, stage_curves
from towers.training.curves_events import FILE
from towers.training.curves_files import write_curves
from towers.training.curves_picture import COLOURS, draw

LOSSES = {
    "pictures": {"pictures": [4.0, 3.0, 2.0]},
    "retrieval": {"fused": [2.0, 1.5, 1.0, 0.5], "masked words": [1.0, 0.75, 0.5, 0.25]},
}
METRICS = {"R@10": [Point(3, 0.2), Point(7, 0.8)]}
CURVES = Curves(LOSSES, METRICS)


def test_stages_follow_each_other_and_terms_add_up() -> None:
    pictures, retrieval = stage_curves(CURVES)
    assert (pictures.name, pictures.first, pictures.steps) == ("pictures", 1, 3)
    assert (retrieval.name, retrieval.first, retrieval.steps) == ("retrieval", 4, 4)
    assert retrieval.total == [Point(4, 3.0), Point(5, 2.25), Point(6, 1.5), Point(7, 0.75)]
    assert retrieval.terms["masked words"][-1] == Point(7, 0.25)


@pytest.mark.parametrize("steps", [1, 7, 9, 10, 11, 20, 21, 101])
def test_a_long_stage_is_thinned_to_means_that_miss_no_step(steps: int) -> None:
    values = np.random.default_rng(steps).random(steps)
    curves = Curves({"first": {"fused": [1.0, 2.0]}, "long": {"fused": values.tolist()}})
    stage = stage_curves(curves, most=10)[1]
    assert len(stage.total) <= 10
    assert stage.total[-1].step == 2 + steps
    weights = np.diff([2, *(point.step for point in stage.total)])
    assert weights.sum() == steps
    assert weights.max() == stage.every
    assert np.average([point.value for point in stage.total], weights=weights) == pytest.approx(values.mean())


def test_terms_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        stage_curves(Curves({"joint": {"fused": [1.0, 2.0], "text": [1.0]}}))


def test_the_numbers_can_be_read_back() -> None:
    read = json.loads(json.dumps(curves_json(CURVES)))
    assert [stage["name"] for stage in read["stages"]] == ["pictures", "retrieval"]
    retrieval = read["stages"][1]
    assert (retrieval["first_step"], retrieval["steps"], retrieval["steps_a_point"]) == (4, 4, 1)
    assert retrieval["step"] == [4, 5, 6, 7]
    assert retrieval["terms"] == LOSSES["retrieval"]
    assert retrieval["loss"] == [3.0, 2.25, 1.5, 0.75]
    assert read["metrics"] == {"R@10": {"step": [3, 7], "value": [0.2, 0.8]}}


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def has_colour(picture: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return bool((np.abs(picture.astype(int) - wanted).max(axis=2) <= 3).any())


def test_the_picture_has_a_panel_for_metrics_where_there_are_any() -> None:
    stages = stage_curves(CURVES)
    without, whole = pixels(draw(stages, {})), pixels(draw(stages, METRICS))
    assert 2 * whole.shape[0] == pytest.approx(3 * without.shape[0], abs=3)
    assert whole.shape[1] == without.shape[1]


def test_every_term_has_a_colour_of_its_own_and_the_same_numbers_the_same_picture() -> None:
    stages = stage_curves(CURVES)
    whole = draw(stages, {})
    shown = {colour for colour in COLOURS[:-1] if has_colour(pixels(whole), colour)}
    assert shown == set(COLOURS[:3])  # pictures, fused, masked words; the total has the first, too
    assert draw(stages, {}) == whole
    fewer = draw(stage_curves(Curves({"pictures": LOSSES["pictures"]})), {})
    assert {colour for colour in COLOURS[:-1] if has_colour(pixels(fewer), colour)} == {COLOURS[0]}


@pytest.mark.parametrize("steps", [1, 2, 500])
def test_short_and_long_and_many_termed_trainings_can_be_drawn(steps: int) -> None:
    terms = {f"term {number}": [1.0 + number] * steps for number in range(9)}
    draw(stage_curves(Curves({"one": terms})), {"R@10": [Point(steps, 0.0)]})


def events(path: Path) -> list[Event]:
    """Reads an event file as TensorBoard does: length, its checksum, record, its checksum."""
    data, place, found = path.read_bytes(), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        record = data[place + 12 : place + 12 + length]
        for part, at in ((data[place : place + 8], place + 8), (record, place + 12 + length)):
            assert struct.unpack_from("<I", data, at) == (masked(crc32c(part)),)
        found.append(Event.FromString(record))
        place += 16 + length
    return found


def masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def test_the_files_of_a_checkpoint(tmp_path: Path) -> None:
    write_curves(CURVES, tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"curves.json", "curves.png", f"tensorboard/{FILE}"}
    assert json.loads((tmp_path / "curves.json").read_text()) == curves_json(CURVES)
    first, *rest = events(tmp_path / "tensorboard" / FILE)
    assert first.file_version == "brain.Event:2"
    scalars = {(value.tag, event.step): value.simple_value for event in rest for value in event.summary.value}
    assert [event.step for event in rest] == [1, 2, 3, 4, 5, 6, 7]
    assert scalars["loss/total", 1] == 4.0
    assert scalars["retrieval/masked words", 7] == 0.25
    assert scalars["metrics/R@10", 3] == pytest.approx(0.2)
    assert len(scalars) == 7 + 3 + 8 + 2
