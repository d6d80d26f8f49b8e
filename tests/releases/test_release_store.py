"""The store: whole or nothing, and one active release whatever happens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from release_builders import draft, fill, publish

import faults
from releases import ReleaseDraft, ReleaseStore


class Clock:
    """Each publication is a minute after the one before."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store", clock=Clock())


def everything_in(root: Path) -> set[str]:
    return (
        {str(p.relative_to(root)) for p in root.rglob("*") if p.name != ".lock"} if root.exists() else set()
    )


def test_an_unused_store_is_empty(store: ReleaseStore) -> None:
    assert store.list() == []
    assert store.active_id() is None
    assert store.retire(1) == []
    with pytest.raises(faults.NotFound):
        store.rollback()
    assert not store.root.exists()


def test_a_published_release_is_listed_hashed_and_not_active(store: ReleaseStore) -> None:
    manifest = publish(store)
    assert re.fullmatch(r"20261120T101600Z-[0-9a-f]{6}", manifest.release_id)
    assert set(manifest.files) == {"index.faiss", "tables/products.arrow"}
    assert manifest.files["index.faiss"].bytes == 5
    (info,) = store.list()
    assert (info.release_id, info.active, info.products, info.bytes) == (manifest.release_id, False, 3, 9)
    assert store.active_id() is None


def test_ids_sort_by_time_and_differ_by_content(store: ReleaseStore, tmp_path: Path) -> None:
    first, second = publish(store, b"a"), publish(store, b"b")
    assert [info.release_id for info in store.list()] == [second.release_id, first.release_id]
    same_minute = ReleaseStore(tmp_path / "other", clock=Clock())
    assert publish(same_minute, b"z").release_id[:16] == first.release_id[:16]
    assert publish(ReleaseStore(tmp_path / "third", clock=Clock()), b"a").release_id == first.release_id


def test_the_same_content_in_the_same_second_is_refused(tmp_path: Path) -> None:
    still = ReleaseStore(tmp_path, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    release_id = publish(still).release_id
    with pytest.raises(faults.Occupied):
        publish(still)
    assert [info.release_id for info in still.list()] == [release_id]


class BuildError(Exception):
    pass


def test_a_failed_build_leaves_no_trace(store: ReleaseStore) -> None:
    def build(folder: Path) -> ReleaseDraft:
        fill(folder)
        raise BuildError

    with pytest.raises(BuildError):
        store.publish(build)
    assert everything_in(store.root) == set()


def test_a_manifest_that_names_a_missing_file_is_not_published(store: ReleaseStore) -> None:
    with pytest.raises(ValueError, match=r"index\.faiss"):
        store.publish(lambda _: draft())
    assert everything_in(store.root) == set()


def test_links_are_refused(store: ReleaseStore, tmp_path: Path) -> None:
    def build(folder: Path) -> ReleaseDraft:
        (folder / "link").symlink_to(tmp_path)
        return fill(folder)

    with pytest.raises(faults.InvalidInput, match="plain files"):
        store.publish(build)


def test_activate_and_roll_back_walk_the_history(store: ReleaseStore) -> None:
    a, b, c = (publish(store, name).release_id for name in (b"a", b"b", b"c"))
    for release_id in (a, b, c, a):
        store.activate(release_id)
        store.activate(release_id)  # the second time changes nothing
        assert store.active_id() == release_id
    assert [store.rollback() for _ in range(3)] == [c, b, a]
    assert [info.active for info in store.list()] == [False, False, True]
    with pytest.raises(faults.NotFound, match="nothing to roll back"):
        store.rollback()
    assert store.active_id() == a


def test_a_crash_between_history_and_active_does_not_trap_rollback(store: ReleaseStore) -> None:
    a, b = publish(store, b"a").release_id, publish(store, b"b").release_id
    store.activate(a)
    store.activate(b)
    (store.root / "HISTORY").write_text(f"{a}\n{b}\n")  # activate(c) died before it switched ACTIVE
    assert store.rollback() == a


def test_rollback_passes_over_releases_that_are_gone(store: ReleaseStore) -> None:
    a, b, c = (publish(store, name).release_id for name in (b"a", b"b", b"c"))
    for release_id in (a, b, c):
        store.activate(release_id)
    store.path(b).rename(store.root / "elsewhere")
    assert store.rollback() == a


@pytest.mark.parametrize("damage", ["changed", "torn", "missing"])
def test_a_damaged_release_is_refused_with_both_values(store: ReleaseStore, damage: str) -> None:
    good, bad = publish(store, b"good").release_id, publish(store, b"later").release_id
    store.activate(good)
    file = store.path(bad) / "index.faiss"
    match damage:
        case "changed":
            file.write_bytes(b"LATER")
        case "torn":
            file.write_bytes(b"lat")
        case _:
            file.unlink()
    with pytest.raises(faults.Mismatch, match=r"index\.faiss.*Fix: copy the release again") as caught:
        store.activate(bad)
    assert caught.value.expected != caught.value.found
    assert store.active_id() == good


def test_a_renamed_folder_is_refused(store: ReleaseStore) -> None:
    release_id = publish(store).release_id
    store.path(release_id).rename(store.root / "20270101T000000Z-aaaaaa")
    with pytest.raises(faults.Mismatch, match="release_id"):
        store.activate("20270101T000000Z-aaaaaa")


@pytest.mark.parametrize("name", ["", "..", "../x", "20261120T101500Z-zzzzzz", "20261120T101500Z-abcdef/.."])
def test_unknown_ids_are_not_found(store: ReleaseStore, name: str) -> None:
    publish(store)
    with pytest.raises(faults.NotFound, match="releases list"):
        store.activate(name)


def test_a_damaged_manifest_is_listed_with_its_problem(store: ReleaseStore) -> None:
    good, bad = publish(store, b"a").release_id, publish(store, b"b").release_id
    (store.path(bad) / "manifest.json").write_text("{")
    infos = {info.release_id: info for info in store.list()}
    assert infos[good].problem is None
    assert "not JSON" in (infos[bad].problem or "")


def test_retire_keeps_the_active_release_and_the_way_back(store: ReleaseStore) -> None:
    ids = [publish(store, bytes([i])).release_id for i in range(5)]
    store.activate(ids[0])
    store.activate(ids[1])
    assert store.retire(2) == ids[2:5]
    assert store.rollback() == ids[0]
    with pytest.raises(faults.InvalidInput):
        store.retire(0)


def test_retire_removes_the_oldest_first(store: ReleaseStore) -> None:
    ids = [publish(store, bytes([i])).release_id for i in range(4)]
    store.activate(ids[3])
    assert store.retire(2) == ids[:2]
    assert not any(name.startswith(".staging") for name in everything_in(store.root))


def test_folders_of_dead_builders_are_swept_and_those_of_living_ones_are_not(store: ReleaseStore) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from releases import ReleaseStore\n"
        "def build(folder):\n"
        "    (folder / 'half').write_bytes(b'x')\n"
        "    print(folder.name, flush=True)\n"
        "    time.sleep(60)\n"
        "ReleaseStore(pathlib.Path(sys.argv[1])).publish(build)\n"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert builder.stdout is not None
    with builder:
        name = builder.stdout.readline().strip()
        publish(store, b"a")
        assert (store.root / name / "half").exists()
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    publish(store, b"b")
    assert not (store.root / name).exists()


def test_activations_at_once_end_in_one_of_them_with_a_history_of_the_others(store: ReleaseStore) -> None:
    ids = [publish(store, bytes([i])).release_id for i in range(6)]
    threads = [threading.Thread(target=store.activate, args=(release_id,)) for release_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    walked = [store.active_id(), *(store.rollback() for _ in ids[1:])]
    assert sorted(str(release_id) for release_id in walked) == ids


def test_a_lock_that_is_held_is_named(store: ReleaseStore) -> None:
    release_id = publish(store).release_id
    impatient = ReleaseStore(store.root, lock_timeout_s=0.0)
    with store._lock(), pytest.raises(faults.Occupied, match=r"\.lock"):
        impatient.activate(release_id)


def test_a_writer_that_meets_a_full_device_is_a_storage_failure(store: ReleaseStore) -> None:
    active = publish(store).release_id
    store.activate(active)

    def build(_: Path) -> ReleaseDraft:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")
        return draft()

    with pytest.raises(faults.StorageFailed, match="active release is unchanged"):
        store.publish(build)
    assert store.active_id() == active


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk_while_publishing_leaves_the_active_release_as_it_was(small_disk: Path) -> None:
    store = ReleaseStore(small_disk / "store", clock=Clock())
    active = publish(store).release_id
    store.activate(active)
    before = everything_in(store.root)
    with pytest.raises(faults.StorageFailed, match="No space left") as caught:
        publish(store, b"x" * 1_000_000)
    assert "retiring" in caught.value.fix
    assert everything_in(store.root) == before
    store.verify(active)
    assert store.active_id() == active
    assert publish(store, b"fits").release_id in {info.release_id for info in store.list()}


def fill_up(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_while_activating_leaves_the_active_release_as_it_was(small_disk: Path) -> None:
    store = ReleaseStore(small_disk / "store", clock=Clock())
    first, second = publish(store, b"1").release_id, publish(store, b"2").release_id
    store.activate(first)
    fill_up(small_disk / "ballast")
    with pytest.raises(faults.StorageFailed):
        store.activate(second)
    assert store.active_id() == first
    (small_disk / "ballast").unlink()
    store.activate(second)
    assert store.rollback() == first
