import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.stopped_trainings import Shop, same

from catalog import atomic
from towers.training.resume import ProgressFolder
from towers.training.train import Trained

pytestmark = pytest.mark.usefixtures("one_thread")


def flip(data: bytes) -> bytes:
    place = len(data) * 3 // 4
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def without_identity(data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    del header["__metadata__"]["header"]
    text = json.dumps(header).encode().ljust(size)
    return data[:8] + text + data[8 + size :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "empty": lambda _: b"",
    "garbage": lambda _: b"\xff" * 300,
    "one bit flipped": flip,
    "no identity": without_identity,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_progress_is_said_and_not_used(
    shop: Shop, whole: Trained, damage: Callable[[bytes], bytes]
) -> None:
    shop.stopped(3)
    shop.file.write_bytes(damage(shop.file.read_bytes()))
    result = shop.train()
    assert shop.steps == [1, 2, 3, 4, 5, 6]
    assert len(shop.said) == 1
    assert "damaged" in shop.said[0]
    assert "begins anew" in shop.said[0]
    assert same(result, whole)


def test_a_full_disk_is_said_once_and_training_goes_on(
    shop: Shop, whole: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.stopped(2)
    kept = shop.file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        result = shop.train()
    assert same(result, whole)
    assert shop.said[0] == "going on from step 2 of 6"
    assert len(shop.said) == 2
    assert "No space left" in shop.said[1]
    assert shop.file.read_bytes() == kept
    assert list(shop.folder.iterdir()) == [shop.file]


def test_progress_where_no_folder_can_be_made_is_said_once(shop: Shop, whole: Trained) -> None:
    shop.folder.write_text("a file")
    assert same(shop.train(), whole)
    assert len(shop.said) == 1


def test_what_a_killed_writer_left_is_cleared_and_removing_leaves_nothing(shop: Shop) -> None:
    shop.stopped(1)
    (shop.folder / ".progress.safetensors.abc123").write_bytes(b"half")
    shop.stopped(2)
    assert list(shop.folder.iterdir()) == [shop.file]
    (shop.folder / ".progress.safetensors.abc123").write_bytes(b"half")
    ProgressFolder(shop.folder, print).remove()
    assert not shop.folder.exists()
    ProgressFolder(shop.folder, print).remove()


def test_states_are_kept_by_the_clock_and_seldom_where_writing_is_slow(shop: Shop) -> None:
    shop.stopped(1)
    state = ProgressFolder(shop.folder, print).begin(identity_of(shop.file))
    assert state is not None
    now, writing, times = [0.0], [0.25], list[float]()
    progress = ProgressFolder(shop.folder, print, every_s=30.0, clock=lambda: now[0])
    progress.begin({})

    def capture() -> object:
        times.append(now[0])
        now[0] += writing[0]
        return state

    def until(end: float) -> list[float]:
        times.clear()
        while now[0] < end:
            now[0] += 1.0
            progress.keep(capture)  # type: ignore[arg-type]
        return [round(time) for time in times]

    assert until(100.0) == [30, 60, 90]
    writing[0] = 5.0
    slow = until(3000.0)
    assert min(after - before for before, after in pairwise(slow)) >= 250
    assert len(slow) >= 4


def identity_of(file: Path) -> dict[str, str]:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    identity: dict[str, str] = json.loads(header["__metadata__"]["header"])["identity"]
    return identity
